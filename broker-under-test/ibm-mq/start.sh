#!/bin/sh
# Starts the queue manager, and defines the MQTT channel once the telemetry service runs: before, it cannot be defined.
(
  until echo "DISPLAY SVSTATUS('SYSTEM.MQXR.SERVICE')" | runmqsc "$MQ_QMGR_NAME" 2>/dev/null | grep -q 'STATUS(RUNNING)'; do
    sleep 1
  done
  runmqsc "$MQ_QMGR_NAME" < /etc/squall/channel.mqsc
) &
exec runmqdevserver
