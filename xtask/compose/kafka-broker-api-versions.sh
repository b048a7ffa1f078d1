#!/bin/sh
# As in Kafka's own distribution.
exec java -Xmx64m -cp '/cache/kafka-4.3.1/*' org.apache.kafka.tools.BrokerApiVersionsCommand "$@"
