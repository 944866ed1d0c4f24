#!/bin/sh
# An Artemis instance in the data folder, with one acceptor: MQTT on the loopback.
set -eu
"{cache}"/home/apache-artemis-*/bin/artemis create "{data}/instance" --user admin --password admin --allow-anonymous \
  --silent --no-amqp-acceptor --no-hornetq-acceptor --no-stomp-acceptor --no-web --host {host} --no-autotune --nio
broker="{data}/instance/etc/broker.xml"
sed -e '/<acceptor name=/d' \
  -e 's#</acceptors>#<acceptor name="mqtt">tcp://{host}:{port}?protocols=MQTT</acceptor></acceptors>#' \
  "$broker" > "$broker.new"
mv "$broker.new" "$broker"
