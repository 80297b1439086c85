# The build.  ./dev installs what this needs and calls it; by hand:
#
#   make                     amld, the unit tests and the module
#   make VARIANT=asan        the same under ASan and UBSan, and its own nginx
#   make module NGINX_SRC=…  the module against other nginx headers
#   make install             amld, the module, aml, and what belongs to them,
#                            below $(DESTDIR)$(PREFIX)
#
# Everything is made under build/$(VARIANT)/.

VARIANT ?= release
OUT := build/$(VARIANT)

CC ?= cc
PKGS := jansson lmdb libcrypto libssl
AMLD_PKGS := $(PKGS) libmicrohttpd libconfuse libjwt libcurl libcrypt pam

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
        -Wmissing-prototypes -Wvla
CFLAGS_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
       -fno-omit-frame-pointer
CFLAGS_asan := -O1 -g $(SAN)
LDFLAGS_asan := $(SAN)
CFLAGS_fuzz := -O1 -g $(SAN) -fsanitize=fuzzer-no-link
LDFLAGS_fuzz := $(SAN)
LDFLAGS_release := -Wl,-z,relro -Wl,-z,now

CFLAGS_ALL := -std=c11 -D_GNU_SOURCE -fPIC -I. $(WARN) \
              $(shell pkg-config --cflags $(AMLD_PKGS)) \
              $(CFLAGS_$(VARIANT)) $(CFLAGS)
LDFLAGS_ALL := $(LDFLAGS_$(VARIANT)) $(LDFLAGS)

CORE := $(shell AML_LIST_CORE=1 sh ./config)
AMLD := $(filter-out $(CORE),$(wildcard registry/*.c auth/*.c tls/*.c \
          upstreams/*.c computes/*.c computes/*/*.c))
AMLD_LIB := $(filter-out computes/amld.c,$(AMLD))
CLI := $(wildcard cli/*.c)
CLI_LIB := $(filter-out cli/aml.c,$(CLI))
CLI_PKGS := jansson libcurl libcrypto
TESTS := $(wildcard t/unit/test_*.c)

CORE_O := $(CORE:%.c=$(OUT)/obj/%.o)
AMLD_O := $(AMLD:%.c=$(OUT)/obj/%.o)
AMLD_LIB_O := $(AMLD_LIB:%.c=$(OUT)/obj/%.o)
CLI_O := $(CLI:%.c=$(OUT)/obj/%.o)
CLI_LIB_O := $(CLI_LIB:%.c=$(OUT)/obj/%.o)
TEST_BIN := $(TESTS:t/unit/%.c=$(OUT)/t/%)

.PHONY: all amld aml module tests fuzzers install clean
all: amld aml module tests
amld: $(OUT)/amld
aml: $(OUT)/aml
tests: $(TEST_BIN) $(OUT)/t/registry_edit $(OUT)/t/computes_fill \
    $(OUT)/t/jobs_fill $(OUT)/t/libjwt_judge $(OUT)/t/kill_commit.so \
    $(OUT)/t/localhost.so

$(OUT)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# What the assembler takes in with .incbin.
$(OUT)/obj/auth/assets.o: auth/style.css auth/studio.js auth/start.js

$(OUT)/libaml.a: $(CORE_O)
	@rm -f $@
	$(AR) rcs $@ $^

$(OUT)/libamld.a: $(AMLD_LIB_O)
	@rm -f $@
	$(AR) rcs $@ $^

$(OUT)/amld: $(OUT)/obj/computes/amld.o $(OUT)/libamld.a $(OUT)/libaml.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(shell pkg-config --libs $(AMLD_PKGS)) \
	    -lpthread

$(OUT)/libcli.a: $(CLI_LIB_O)
	@rm -f $@
	$(AR) rcs $@ $^

# The command line; of the cores it takes a few that know nothing of LMDB.
$(OUT)/aml: $(OUT)/obj/cli/aml.o $(OUT)/libcli.a $(OUT)/libaml.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(shell pkg-config --libs $(CLI_PKGS))

# One program a test file; those of aml's and amld's parts link these as well.
$(OUT)/t/%: t/unit/%.c $(OUT)/libcli.a $(OUT)/libamld.a $(OUT)/libaml.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -MF $@.d $(LDFLAGS_ALL) -o $@ $< \
	    $(OUT)/libcli.a $(OUT)/libamld.a $(OUT)/libaml.a -lcmocka \
	    $(shell pkg-config --libs $(AMLD_PKGS)) -lpthread

# It looks at what is held while a log is opened.
$(OUT)/t/test_arm_jobs_log: LDFLAGS_ALL += -Wl,--wrap=amld_job_files_log

# What the integration tests write records with, crafted or very many.
$(OUT)/t/registry_edit $(OUT)/t/computes_fill $(OUT)/t/jobs_fill: \
    $(OUT)/t/%: t/tools/%.c $(OUT)/libamld.a $(OUT)/libaml.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -MF $@.d $(LDFLAGS_ALL) -o $@ $< \
	    $(OUT)/libamld.a $(OUT)/libaml.a \
	    $(shell pkg-config --libs $(AMLD_PKGS)) -lpthread

# Put before a program: one ends amld at a commit, the other finds *.localhost.
$(OUT)/t/kill_commit.so $(OUT)/t/localhost.so: $(OUT)/t/%.so: t/tools/%.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -fPIC -shared $(WARN) -o $@ $<

# A second opinion on tokens.
$(OUT)/t/libjwt_judge: t/tools/libjwt_judge.c $(OUT)/libaml.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -MMD -MP -MF $@.d $(LDFLAGS_ALL) -o $@ $< \
	    -DLIBJWT_VERSION='"$(shell pkg-config --modversion libjwt)"' \
	    $(OUT)/libaml.a $(shell pkg-config --libs $(PKGS) libjwt)

# VARIANT=fuzz CC=clang: one program a fuzzer.
fuzzers: $(patsubst t/fuzz/%.c,$(OUT)/t/%,$(wildcard t/fuzz/fuzz_*.c))
$(OUT)/t/fuzz_%: t/fuzz/fuzz_%.c $(OUT)/libamld.a $(OUT)/libaml.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $< \
	    $(OUT)/libamld.a $(OUT)/libaml.a \
	    $(shell pkg-config --libs $(AMLD_PKGS)) -lpthread

# Helpers of the benchmarks; ./dev bench builds what it needs.
$(OUT)/bench/load: bench/answer.c bench/answer.h
$(OUT)/bench/%: bench/%.c bench/client.h $(OUT)/libaml.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $(filter %.c,$^) \
	    $(OUT)/libaml.a $(shell pkg-config --libs $(PKGS)) -lpthread

# ---- the nginx module ----
#
# release: against the headers of Debian's nginx-dev, for Debian's nginx.
# asan: a whole nginx from Debian's source package, unpacked by ./dev under
# build/nginx-source, with the sanitizers.

NGINX_SRC_release := /usr/share/nginx/src
NGINX_SRC_asan := build/nginx-source
NGINX_SRC ?= $(NGINX_SRC_$(VARIANT))
NGINX_OUT ?= $(OUT)/nginx
MODULE := $(NGINX_OUT)/ngx_http_aml_module.so
NGINX_OPT_release := -O2 -g -fPIC -Wall -Wextra -Wno-unused-parameter \
    -fstack-protector-strong -D_FORTIFY_SOURCE=2
# nginx copies empty strings from NULL and thinks nothing of it; that its own
# numbers are aligned has to be asked for.
NGINX_OPT_asan := -O1 -g -fPIC $(SAN) -fno-sanitize=nonnull-attribute \
    -DNGX_DEBUG_PALLOC=1 -DNGX_HAVE_NONALIGNED=0
NGINX_ADDON ?= $(CURDIR)

MODULE_SRC := $(CORE) $(wildcard ngx_aml_module/*.[ch] auth/*.h registry/*.h \
                tls/*.h upstreams/*.h)

module: $(MODULE)
$(NGINX_OUT)/Makefile: config $(wildcard $(NGINX_SRC)/conf_flags)
	@mkdir -p $(NGINX_OUT)
	VARIANT=$(VARIANT) OUT=$(abspath $(NGINX_OUT)) SRC=$(NGINX_SRC) \
	    ADDON=$(NGINX_ADDON) \
	    CC_OPT='$(NGINX_OPT_$(VARIANT))' LD_OPT='$(LDFLAGS_$(VARIANT))' \
	    bash ngx_aml_module/configure.sh

$(MODULE): $(NGINX_OUT)/Makefile $(MODULE_SRC)
	$(MAKE) -C $(NGINX_SRC) -f $(abspath $(NGINX_OUT))/Makefile \
	    $(if $(filter asan,$(VARIANT)),binary) modules

# amld finds share/aml beside the sbin that it lies in; in nginx.conf.in ROOT is
# $(PREFIX)/share/aml.
PREFIX ?= /usr/local
INSTALL_TO := $(DESTDIR)$(PREFIX)
INSTALL_SHARE := $(INSTALL_TO)/share/aml

install: amld aml module
	install -D -m 755 $(OUT)/amld $(INSTALL_TO)/sbin/amld
	install -D -m 755 $(OUT)/aml $(INSTALL_TO)/bin/aml
	install -D -m 644 cli/aml.1 $(INSTALL_TO)/share/man/man1/aml.1
	$(OUT)/aml completion bash > $(OUT)/aml.bash
	install -D -m 644 $(OUT)/aml.bash \
	    $(INSTALL_TO)/share/bash-completion/completions/aml
	$(OUT)/aml completion zsh > $(OUT)/aml.zsh
	install -D -m 644 $(OUT)/aml.zsh \
	    $(INSTALL_TO)/share/zsh/site-functions/_aml
	install -D -m 644 $(MODULE) \
	    $(INSTALL_TO)/lib/nginx/modules/$(notdir $(MODULE))
	install -D -m 644 -t $(INSTALL_SHARE) auth/builtin-roles.json
	install -D -m 644 -t $(INSTALL_SHARE)/samples packaging/samples/*
	install -D -m 644 -t $(INSTALL_SHARE)/tls tls/aml-tls.conf
	install -D -m 644 -t $(INSTALL_SHARE)/packaging packaging/nginx.conf.in \
	    packaging/aml-errors.conf packaging/aml-proxy.conf
	install -D -m 755 -t $(INSTALL_SHARE)/packaging packaging/render.sh
	install -D -m 644 -t $(INSTALL_TO)/share/doc/aml-gateway docs/*.md
	sed 's,/usr/\(sbin\|share\)/,$(PREFIX)/\1/,g' \
	    packaging/systemd/amld.service > $(OUT)/amld.service
	install -D -m 644 -t $(INSTALL_TO)/lib/systemd/system $(OUT)/amld.service

clean:
	rm -rf $(OUT)

-include $(CORE_O:.o=.d) $(AMLD_O:.o=.d) $(CLI_O:.o=.d) $(TEST_BIN:%=%.d)
