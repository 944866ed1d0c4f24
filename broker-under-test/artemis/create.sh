#!/bin/sh
# An Artemis instance in the data folder, with acceptors for MQTT on the loopback: plain, TLS (Java takes no PEM), WebSocket. Without its limit of the disk, beyond which (90 %
# of any machine's) it closes the connection of whoever publishes.
set -eu
"{cache}"/home/apache-artemis-*/bin/artemis create "{data}/instance" --user admin --password admin --allow-anonymous \
  --silent --no-amqp-acceptor --no-hornetq-acceptor --no-stomp-acceptor --no-web --host {host} --no-autotune --nio
openssl pkcs12 -export -in "{config}/tls/server.pem" -inkey "{config}/tls/server-key.pem" -out "{config}/tls/server.p12" -passout pass:squall
mqtt='<acceptor name="mqtt">tcp://{host}:{port}?protocols=MQTT</acceptor>'
tls='<acceptor name="mqtts">tcp://{host}:{port:tls}?protocols=MQTT;sslEnabled=true;keyStoreType=PKCS12;keyStorePath={config}/tls/server.p12;keyStorePassword=squall</acceptor>'
ws='<acceptor name="ws">tcp://{host}:{port:ws}?protocols=MQTT</acceptor>'
broker="{data}/instance/etc/broker.xml"
sed -e '/<acceptor name=/d' -e 's#<max-disk-usage>[0-9]*<#<max-disk-usage>-1<#' \
  -e "s#</acceptors>#$mqtt$tls$ws</acceptors>#" \
  "$broker" > "$broker.new"
mv "$broker.new" "$broker"
