#!/bin/sh
# A RabbitMQ node of its own: its files in the data folder, its name and all its ports its own, on the loopback.
export HOME={data} LANG=C.UTF-8
export RABBITMQ_NODENAME=squall{port}@localhost
export RABBITMQ_CONFIG_FILE={config}/rabbitmq.conf
export RABBITMQ_ADVANCED_CONFIG_FILE={config}/advanced.config
export RABBITMQ_CONFIG_FILES={config}/conf.d
export RABBITMQ_ENABLED_PLUGINS_FILE={config}/enabled_plugins
export RABBITMQ_CONF_ENV_FILE={config}/none
export RABBITMQ_MNESIA_BASE={data}/mnesia
export RABBITMQ_LOG_BASE={data}/log
export RABBITMQ_PID_FILE={data}/pid
export RABBITMQ_DIST_PORT={port:dist}
export ERL_EPMD_PORT={port:epmd}
export ERL_EPMD_ADDRESS=127.0.0.1
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
mkdir -p {data}/mnesia {data}/log
epmd -address 127.0.0.1 -port {port:epmd} &
epmd=$!
/usr/lib/rabbitmq/bin/rabbitmq-server &
server=$!
trap 'kill -TERM $server' TERM
# The first wait ends at the signal, the second with the server.
wait $server
wait $server
code=$?
kill $epmd
exit $code
