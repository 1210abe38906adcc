# The two commands of the README are `make demo` and `make test`; each installs what the machine lacks.
.PHONY: demo test chaos soak fuzz properties bench-plot bench-instructions bench-peers bench-tenzir bench-pipe nightly install broker-start broker-stop

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

# Kills at random moments on a broker of its own, both delivery modes; what it showed stands in docs/reliability.md.
# Smaller: UDMILL_CHAOS_MESSAGES, UDMILL_CHAOS_KILLS, UDMILL_CHAOS_BROKER_RESTARTS. Another schedule: UDMILL_CHAOS_SEED.
chaos:
	scripts/chaos.sh chaos

# A sink that is away for minutes under full input, at three sizes of lag: UDMILL_SOAK_SIZES, UDMILL_SOAK_SECONDS.
soak:
	scripts/chaos.sh soak

# The scanner against simd-json and serde_json on a hundred million texts, then each other target for five minutes (FUZZ_SECONDS); what ran
# clean is added to docs/fuzz.csv. What was found until now stands in docs/reliability.md.
fuzz:
	cd tests/fuzz && cargo run --release --locked -- json --executions 100000000 --seed $${SEED:-1} --record
	cd tests/fuzz && for target in framing mappings times ja4 flows salvage; do \
	  cargo run --release --locked -- $$target --seconds $${FUZZ_SECONDS:-300} --seed $${SEED:-1} --record || exit 1; done

# The property tests on cases that nobody has tried: a hundred times as many as `make test`, and another draw every time.
properties:
	PROPTEST_CASES=$${CASES:-10000} cargo test --locked --lib

# Draws the figures of the last `cargo bench --no-default-features --bench engine` as docs/performance.svg.
bench-plot:
	scripts/bench_plot.py

# Instructions of an event by callgrind, beside docs/instructions.csv: fails where a case takes 3 % more. UPDATE=1 keeps the new counts.
bench-instructions:
	scripts/bench_instructions.sh

# The engine beside VRL on the same events; its library takes minutes to build.
bench-peers:
	cd benches/peers && cargo run --release --locked

# `udmill replay` beside Tenzir, file to file; installs it with pip under target/ when it lacks.
bench-tenzir:
	benches/peers/tenzir.py

# From Kafka to Kafka beside a forwarder that does nothing else, on a broker of its own; leave other work off the machine.
bench-pipe:
	scripts/bench_pipe.sh

# What takes too long for every change.
nightly: chaos soak fuzz properties bench-instructions
