#!/bin/sh
# Inside the container: a node with its files in /rmq, configured by what squall mounts.
export HOME=/rmq LANG=C.UTF-8
export RABBITMQ_NODENAME=squall@localhost
export RABBITMQ_CONFIG_FILE=/squall/rabbitmq.conf
export RABBITMQ_ENABLED_PLUGINS_FILE=/squall/enabled_plugins
export RABBITMQ_MNESIA_BASE=/rmq/data RABBITMQ_LOG_BASE=/rmq/log RABBITMQ_PID_FILE=/rmq/pid
mkdir -p /rmq/data /rmq/log
exec /usr/lib/rabbitmq/bin/rabbitmq-server
