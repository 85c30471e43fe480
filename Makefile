# SPDX-License-Identifier: BSD-2-Clause
#
# The commands that people type. The build itself is meson's: a packager runs
# `meson setup build && ninja -C build && meson install -C build` and needs
# nothing of this file.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
GUEST ?= builtin
MESON_OPTIONS ?=
QUICK ?=
export BUILD

.PHONY: all build demo bench check check-full check-lab install clean help

all: build

build:
	@scripts/deps --look build
	@scripts/build '$(BUILD)' --prefix='$(PREFIX)' $(MESON_OPTIONS)

demo:
	@scripts/deps build $(if $(filter qemu,$(GUEST)),qemu)
	@scripts/build --quiet '$(BUILD)' --prefix='$(PREFIX)' $(MESON_OPTIONS)
	@scripts/demo --guest '$(GUEST)' --build '$(BUILD)'

bench:
	@scripts/deps build bench qemu
	@scripts/build --quiet '$(BUILD)' --prefix='$(PREFIX)' $(MESON_OPTIONS)
	@ninja -C '$(BUILD)' --quiet bench-tools
	@scripts/bench --build '$(BUILD)' $(if $(QUICK),--quick)

check:
	@scripts/deps build check qemu lab
	@scripts/run-checks --build '$(BUILD)'

check-full:
	@scripts/deps build check qemu lab
	@scripts/run-checks --build '$(BUILD)' --tier full

check-lab:
	@scripts/deps build lab
	@scripts/build --quiet '$(BUILD)' --prefix='$(PREFIX)' $(MESON_OPTIONS)
	@GW_BUILD='$(BUILD)' tests/lab/run.py

install: build
	@meson configure '$(BUILD)' -Dprefix='$(PREFIX)'
	DESTDIR='$(DESTDIR)' meson install -C '$(BUILD)'

clean:
	rm -rf '$(BUILD)'

help:
	@echo 'make                    build into $(BUILD)/ (needs the packages of: scripts/deps build)'
	@echo 'make demo               two built-in guests, two networks, one picture; installs what it needs'
	@echo 'make demo GUEST=qemu    the same with two Linux guests in QEMU (downloads a kernel to a cache)'
	@echo 'make bench              us and our peers in turn: tables, JSON and plots in $(BUILD)/bench; wants root'
	@echo 'make bench QUICK=1      the same in two minutes, with some works only'
	@echo 'make check              all tests, quickly: some 25 minutes; installs what it needs'
	@echo 'make check-full         the long ones too, with all their cases and rounds: about an hour'
	@echo 'make check-lab          NICs under QEMU that send from guest memory (downloads a kernel to a cache)'
	@echo 'make install            install below PREFIX=$(PREFIX), staged in DESTDIR if that is set'
	@echo 'make clean              remove $(BUILD)/'
	@echo
	@echo 'BUILD=FOLDER builds elsewhere; MESON_OPTIONS=... is passed to meson setup.'
