#!/bin/sh
# An Artemis instance in the data folder, with one acceptor: MQTT on the loopback. Without its limit of the disk, beyond which (90 %
# of any machine's) it closes the connection of whoever publishes.
set -eu
"{cache}"/home/apache-artemis-*/bin/artemis create "{data}/instance" --user admin --password admin --allow-anonymous \
  --silent --no-amqp-acceptor --no-hornetq-acceptor --no-stomp-acceptor --no-web --host {host} --no-autotune --nio
broker="{data}/instance/etc/broker.xml"
sed -e '/<acceptor name=/d' -e 's#<max-disk-usage>[0-9]*<#<max-disk-usage>-1<#' \
  -e 's#</acceptors>#<acceptor name="mqtt">tcp://{host}:{port}?protocols=MQTT</acceptor></acceptors>#' \
  "$broker" > "$broker.new"
mv "$broker.new" "$broker"
