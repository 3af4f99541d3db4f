# Culver. The two to know: make demo, make test.

PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc/culver
MANDIR     ?= $(PREFIX)/share/man
LIBEXECDIR ?= $(PREFIX)/libexec/culver
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
FISHDIR    ?= $(PREFIX)/share/fish/vendor_completions.d
FUZZTIME   ?= 10s
GO         ?= go

VERSION  := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
PROGRAMS := $(notdir $(patsubst %/main.go,%,$(wildcard cmd/*/main.go)))

# Static and position-dependent: an exec of a per-user worker pays for every
# library and relocation.
export CGO_ENABLED = 0
BUILD = $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)'

.PHONY: all build test race check fmt vet staticcheck arrows deps fuzz bench demo run install clean

all: build

build:
	@mkdir -p bin/test
	$(BUILD) -o bin/ ./cmd/...

# Tests of whole programs take them from bin/. As root this includes the tests
# of identities; a test that lacks root or a foreign program skips and says why.
test: build bin/test/standin
	$(GO) test ./...

# What stands in for one of the programs, in stories and in the demo.
bin/test/standin: build
	$(BUILD) -o bin/test/ ./test/standin

# The race detector needs cgo and a C compiler.
race: build bin/test/standin
	CGO_ENABLED=1 $(GO) test -race ./...

check: fmt vet staticcheck arrows

fmt:
	@out=$$(gofmt -l .); \
	if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

staticcheck:
	@mkdir -p bin/tools
	cd tools && $(GO) build -o ../bin/tools/ honnef.co/go/tools/cmd/staticcheck
	bin/tools/staticcheck ./...

# Import arrows, Runs-as lines, dependency lists, and the documents in step
# with settings and commands: all are tests, and run here although nothing changed.
arrows:
	$(GO) test -count=1 ./test/arrows/... ./internal/settings/... ./internal/config/... ./services/doveadm/command/...

# Writes cmd/*/deps.txt anew; the diff is for a reviewer to judge.
deps:
	$(GO) test -count=1 ./test/arrows -run TestProgramDependencies -update

fuzz:
	scripts/fuzz $(FUZZTIME)

bench: build
	$(GO) run ./test/bench
	$(GO) run ./test/adminbench
	$(GO) run ./test/authbench

demo: build bin/test/standin
	$(BUILD) -o bin/test/ ./test/demo
	bin/test/demo

run: build
	$(BUILD) -o bin/test/ ./test/demo
	bin/test/demo -foreground

# doveadm is culver-doveadm on PATH: the bare name is Dovecot's where both are
# installed.
install: build
	install -d $(addprefix $(DESTDIR),$(LIBEXECDIR) $(PREFIX)/sbin $(PREFIX)/bin)
	install -m 0755 $(addprefix bin/,$(PROGRAMS)) $(DESTDIR)$(LIBEXECDIR)/
	ln -sf $(LIBEXECDIR)/culver $(DESTDIR)$(PREFIX)/sbin/culver
	ln -sf $(LIBEXECDIR)/lmtp-load $(DESTDIR)$(PREFIX)/bin/lmtp-load
	ln -sf $(LIBEXECDIR)/doveadm $(DESTDIR)$(PREFIX)/bin/culver-doveadm
	scripts/install-completion bin/doveadm $(addprefix $(DESTDIR),$(BASHDIR) $(ZSHDIR) $(FISHDIR))
	scripts/install-config $(DESTDIR)$(SYSCONFDIR)
	scripts/install-man $(DESTDIR)$(MANDIR)
	scripts/install-units $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSUSERSDIR)

clean:
	rm -rf bin
