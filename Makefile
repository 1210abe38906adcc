# The two commands of the README are `make demo` and `make test`; each installs what the machine lacks.
.PHONY: demo test install broker-start broker-stop

demo: install
	cargo run --locked -- demo

test:
	scripts/test.sh

install:
	scripts/install.sh

# A real Apache Kafka on loopback, to run single broker tests by hand: eval "$$(make -s broker-start)"
broker-start:
	@tests/broker/kafka.sh start

broker-stop:
	@tests/broker/kafka.sh stop
