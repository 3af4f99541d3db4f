package settings

import (
	"slices"
	"strings"
	"testing"

	"culver/internal/spelling"
)

// everyRow calls f for each row of the table, with the kind of its block.
func everyRow(f func(kind string, row Setting)) {
	var walk func(*Block)
	walk = func(b *Block) {
		for _, row := range b.Rows {
			f(b.Kind, row)
			if b.Kind != "service" {
				continue
			}
			for _, s := range Builtins() {
				f("service "+s.Name, s.ServiceRow(row))
			}
		}
		for _, inner := range b.Blocks {
			walk(inner)
		}
	}
	walk(Root())
}

// fromText reads text as the table and Write give it; the language itself is
// tested in package config.
func fromText(row Setting, text string) Value {
	unquote := func(s string) string {
		if strings.HasPrefix(s, `"`) {
			s = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(s[1 : len(s)-1])
		}
		return s
	}
	if !row.Type.List {
		return Value{Form: Quoted, Text: unquote(text)}
	}
	v := Value{Form: Listed}
	for _, e := range strings.Split(strings.Trim(text, "[]"), ", ") {
		if e != "" {
			v.Items = append(v.Items, Value{Form: Quoted, Text: unquote(e)})
		}
	}
	return v
}

func TestEveryDefaultIsValidAndCanBeWritten(t *testing.T) {
	t.Parallel()
	everyRow(func(kind string, row Setting) {
		if row.Must || row.From != "" && row.Default == "" {
			return
		}
		canonical := row.DefaultValue() // panics on a default that is not valid
		got, err := row.Type.Canon(fromText(row, row.Type.Write(canonical)))
		if err != nil || got != canonical {
			t.Errorf("%s %s: written as %s it reads %q, %v; want %q", kind, row.Name, row.Type.Write(canonical), got, err, canonical)
		}
	})
}

func TestEveryRowIsComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	everyRow(func(kind string, row Setting) {
		key := kind + "/" + row.Name
		if seen[key] {
			t.Errorf("%s is there twice", key)
		}
		seen[key] = true
		if row.Help == "" || !strings.HasSuffix(row.Help, ".") {
			t.Errorf("%s: help %q is not a sentence", key, row.Help)
		}
		if _, global := Root().Row(row.From); row.From != "" && !global {
			t.Errorf("%s takes its default from %q, which is no global setting", key, row.From)
		}
		for _, program := range strings.Fields(row.For) {
			if _, known := programs[program]; !known {
				t.Errorf("%s goes to %q, which is no program", key, program)
			}
		}
	})
}

func TestUsersOwnSettingsReachTheWorker(t *testing.T) {
	t.Parallel()
	own := UserRows()
	for _, name := range []string{"sandbox", "hostname", "lmtp_delivery_timeout"} {
		if _, ok := own[name]; ok {
			t.Errorf("a user may set %s", name)
		}
	}
	for name, row := range own {
		if !row.goesTo("lmtp-deliver") {
			t.Errorf("%s is a user's own and reaches no worker", name)
		}
	}
}

func TestNamesThatAreMisspelt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ word, want string }{
		{"proces_limit", "process_limit"},
		{"lmpt", "lmtp"},
		{"imap", ""},
		{"unix_listner", "unix_listener"},
		{"something", ""},
	} {
		if got := spelling.Nearest(tt.word, append(ServiceNames(), serviceBlock().Names()...)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.word, got, tt.want)
		}
	}
}

func TestForHandsOutOnlyWhatIsNeeded(t *testing.T) {
	t.Parallel()
	cfg := &Config{Global: map[string]string{}}
	for _, row := range globals() {
		cfg.Global[row.Name] = row.DefaultValue()
	}
	cfg.Services = []Service{{
		Name: "lmtp", Limits: Limits{Clients: 7, Processes: 8, ServiceCount: 1},
		Unix: []UnixListener{{Path: "/run/x/lmtp", Mode: 0o600, Owner: Account{UID: 5, GID: -1}}},
		Inet: []InetListener{
			{Name: "a", Addresses: []string{"*", "::"}, Port: 24, HAProxy: true},
			{Name: "tls", Addresses: []string{"*"}, Port: 25, SSL: true},
		},
	}}
	cfg.Passdbs = []Database{{Name: "p", Driver: "passwd-file", Values: map[string]string{"path": "/x"}}}
	cfg.Namespaces = []Namespace{{Name: "inbox", Inbox: true, Mailboxes: []Mailbox{{"Trash", "create", `\Trash`}}}}
	for _, tt := range []struct {
		program   string
		has, lack []string
		values    map[string]string
	}{
		{"log", []string{"log_path", "log_timestamp"}, []string{"passdb/count", "mail_location"}, nil},
		{"auth", []string{"auth_username_chars", "userdb/count"}, []string{"ssl_key", "log_path"},
			map[string]string{"passdb/count": "1", "passdb/0/driver": "passwd-file", "passdb/0/path": "/x", "passdb/0/name": "p"}},
		{"lmtp", []string{"spool_dir", "auth_socket_path"}, []string{"ssl_key", "passdb/count", "mail_location", "namespace/count"},
			map[string]string{"client_limit": "7", "process_limit": "8", "service_count": "1", "listener/count": "3",
				"listener/0/name": "lmtp", "listener/0/kind": "unix", "listener/0/mode": "384", "listener/0/uid": "5", "listener/0/gid": "-1",
				"listener/2/name": "a", "listener/2/kind": "inet", "listener/2/haproxy": "yes", "listener/2/ssl": "no"}},
		{"lmtp-deliver", []string{"mail_fsync", "quota_rule"}, []string{"listener/count", "passdb/count", "login_trusted_networks", "spool_dir"},
			map[string]string{"namespace/count": "1", "namespace/0/inbox": "yes", "namespace/0/mailbox/0/name": "Trash", "namespace/0/mailbox/0/special_use": `\Trash`}},
	} {
		t.Run(tt.program, func(t *testing.T) {
			t.Parallel()
			bag := For(cfg, tt.program)
			for _, k := range tt.has {
				if _, ok := bag[k]; !ok {
					t.Errorf("no %s", k)
				}
			}
			for _, k := range tt.lack {
				if _, ok := bag[k]; ok {
					t.Errorf("%s is there", k)
				}
			}
			for k, want := range tt.values {
				if bag[k] != want {
					t.Errorf("%s: got %q, want %q", k, bag[k], want)
				}
			}
		})
	}
	if slices.ContainsFunc(cfg.Listeners(cfg.Services[0]), func(l Listener) bool { return l.Name == "tls" }) {
		t.Error("a TLS listener is opened although ssl = no")
	}
}

func TestEachFrontOfDoveadmLearnsOfItsOwnListeners(t *testing.T) {
	t.Parallel()
	cfg := &Config{Global: map[string]string{}}
	for _, row := range globals() {
		cfg.Global[row.Name] = row.DefaultValue()
	}
	cfg.Services = []Service{{
		Name: "doveadm",
		Unix: []UnixListener{{Path: "/run/x/doveadm-server", Mode: 0o600}},
		Inet: []InetListener{{Name: "doveadm", Addresses: []string{"*", "::"}, Port: 24245}, {Name: "tls", Addresses: []string{"*"}, Port: 1, SSL: true}},
	}}
	for _, tt := range []struct{ class, count, first string }{
		{ClassLocal, "1", "doveadm-server"}, {ClassNetwork, "2", "doveadm"},
	} {
		bag := ForClass(cfg, "doveadm-server", tt.class)
		if bag["class"] != tt.class || bag["listener/count"] != tt.count || bag["listener/0/name"] != tt.first {
			t.Errorf("%s: got class %q, %s listeners, the first %q", tt.class, bag["class"], bag["listener/count"], bag["listener/0/name"])
		}
		for _, name := range []string{"doveadm_password_file", "passdb/count", "namespace/count", "quota_rule"} {
			if _, ok := bag[name]; ok {
				t.Errorf("%s: %s is there", tt.class, name)
			}
		}
	}
	cfg.Global["ssl"] = "yes"
	if bag := ForClass(cfg, "doveadm-server", ClassLocal); bag["ssl"] != "" {
		t.Error("the front of this host would be given the key, which it has no use for")
	}
	if bag := ForClass(cfg, "doveadm-server", ClassNetwork); bag["ssl"] != "yes" || bag["listener/count"] != "3" || bag["listener/2/ssl"] != "yes" {
		t.Errorf("with ssl = yes the network's front learns of %v", bag)
	}
	if bag := For(cfg, "doveadm-worker"); bag["doveadm_username"] != "" || bag["quota_enforce"] == "" || bag["namespace/count"] != "0" {
		t.Errorf("the worker got %v", bag)
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       int64
		bad        bool
		parse      func(string) (int64, error)
	}{
		{"bytes", "12", 12, false, ParseSize},
		{"binary units, whatever the letter's case", "2k", 2048, false, ParseSize},
		{"long units", "3 MiB", 3 << 20, false, ParseSize},
		{"the largest", "8388607T", 8388607 << 40, false, ParseSize},
		{"one too large", "8388608T", 0, true, ParseSize},
		{"unit alone", "M", 0, true, ParseSize},
		{"sign", "-5", 0, true, ParseSize},
		{"nor is an underscore", "5_", 0, true, ParseSize},
		{"an I is no unit", "5I", 0, true, ParseSize},
		{"seconds without unit", "5", 5e9, false, nanoseconds},
		{"m is a minute", "2m", 120e9, false, nanoseconds},
		{"ms is not m", "2ms", 2e6, false, nanoseconds},
		{"words", "2 hours", 7200e9, false, nanoseconds},
		{"weeks", "1w", 7 * 86400e9, false, nanoseconds},
		{"too long", "99999999999w", 0, true, nanoseconds},
	} {
		got, err := tt.parse(tt.text)
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("%s: got %d, %v, want %d", tt.name, got, err, tt.want)
		}
	}
}

func nanoseconds(s string) (int64, error) {
	d, err := ParseTime(s)
	return int64(d), err
}
