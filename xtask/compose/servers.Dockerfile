# Stands for the images of postgres, mysql, kafka, cassandra, krakend and curl where no image registry is reached: Debian's
# packages, and what the health checks of docker-compose.yml call. Jars and the program `xtask` are mounted.
FROM debian:bookworm-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        curl default-jre-headless mariadb-server postgresql python3-pip wget \
    && rm -rf /var/lib/apt/lists/* /var/lib/mysql /var/lib/postgresql \
    && pip install --break-system-packages --no-cache-dir cqlsh==6.2.2
COPY kafka-broker-api-versions.sh /opt/kafka/bin/
