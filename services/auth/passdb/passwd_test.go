package passdb

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/services/auth/passwdfile"
	"culver/services/auth/vars"
)

func source(t *testing.T, text string) *passwdfile.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := passwdfile.NewSource(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestShadow: the password of every line is "test". Day 20000 is in 2024.
func TestShadow(t *testing.T) {
	t.Parallel()
	const hash = "$6$rounds=1000$saltsalt$HASH"
	s := &Shadow{Now: func() time.Time { return time.Unix(20000*24*60*60+5, 0) }}
	for _, tt := range []struct{ name, line, right, wrong string }{
		{"an account", hash + ":19000:0:99999:7:::", "yes", "mismatch"},
		{"without days", hash + ":::::::", "yes", "mismatch"},
		{"locked by !", "!" + hash + ":19000:0:99999:7:::", "disabled", "mismatch"},
		{"locked by !!", "!!" + hash + ":19000:0:99999:7:::", "disabled", "mismatch"},
		{"never had a password", "!:19000:0:99999:7:::", "mismatch", "mismatch"},
		{"the system's own", "*:19000:0:99999:7:::", "mismatch", "mismatch"},
		{"an empty password lets nobody in", ":19000:0:99999:7:::", "mismatch", "mismatch"},
		{"ended today", hash + ":19000:0:99999:7::20000:", "expired reason=Password expired", "mismatch"},
		{"ends tomorrow", hash + ":19000:0:99999:7::20001:", "yes", "mismatch"},
		{"the last day of a password", hash + ":19990:0:10:7:::", "yes", "mismatch"},
		{"the day after it", hash + ":19989:0:10:7:::", "expired reason=Password expired", "mismatch"},
		{"to be changed first", hash + ":0:0:99999:7:::", "expired reason=Password expired", "mismatch"},
		{"days that are none", hash + ":19000:0:x:7:::", "temporary", "temporary"},
		{"too few fields", hash + ":19000", "temporary", "temporary"},
		{"another's line", "", "unknown", "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			name := "bob"
			if tt.line == "" {
				name, tt.line = "carol", hash+":::::::"
			}
			own := *s
			own.File = source(t, "root:*:1:0:99999:7:::\n"+name+":"+strings.ReplaceAll(tt.line, "HASH", sixHash)+"\n")
			c := Chain{Links: []Link{{Source: &own}}}
			for password, want := range map[string]string{"test": tt.right, "wrong": tt.wrong} {
				v := &vars.Values{User: "bob", Mech: "PLAIN"}
				got := strings.Replace(outcome(c.Run(context.Background(), Query{Values: v, Password: password})), " as bob", "", 1)
				if got != want {
					t.Errorf("%s: got %q, want %q", password, got, want)
				}
			}
		})
	}
}

// sixHash is that of "test" with the salt saltsalt and 1000 rounds, by crypt(3).
const sixHash = "Te1vwTltwwzaPWfs3cfy/X4FqERvA.6otOfZ17oeoO4EtybQ/TDjqSkN7ryyM2zfP19AF5pdFzZZ63gIt38sZ/"

func TestPasswd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, column, want string }{
		{"in the shadow file", "x", "mismatch"},
		{"locked", "*", "mismatch"},
		{"none", "", "mismatch"},
		{"a hash, as of old", "$6$rounds=1000$saltsalt$" + sixHash, "yes"},
	} {
		c := Chain{Links: []Link{{Source: &Passwd{File: source(t, "bob:"+tt.column+":1000:1000:Bob:/home/bob:/bin/sh\n")}}}}
		v := &vars.Values{User: "bob", Mech: "PLAIN"}
		got := strings.Replace(outcome(c.Run(context.Background(), Query{Values: v, Password: "test"})), " as bob", "", 1)
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if tt.column != "*" {
			if _, err := c.Run(context.Background(), Query{Values: v, Want: WantEntry}); err != nil {
				t.Errorf("%s: as an entry: %v", tt.name, err)
			}
		}
	}
}

func TestPasswdFile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, line, stored, fields string }{
		{"a scheme of its own", "{SSHA}x", "{SSHA}x", ""},
		{"the block's scheme", "$2y$10$x", "{CRYPT}$2y$10$x", ""},
		{"MD5 of crypt, whatever the block says", "$1$x$y", "{MD5-CRYPT}$1$x$y", ""},
		{"34 after the hash", "abc[34]", "{PLAIN-MD5}abc", ""},
		{"56 after the hash", "abc[56]", "{DIGEST-MD5}abc", ""},
		{"13 after the hash", "abc[13]", "{CRYPT}abc", ""},
		{"no password", "", "", ""},
		{"fields, expanded", "x:::::: a=%u b userdb_mail=%n allow_nets=::1", "{CRYPT}x", "a=bob b userdb_mail=bob allow_nets=::1"},
		{"two of one key, for the chain to decide", "x:::::: a=1 a:default=2", "{CRYPT}x", "a=1 a:default=2"},
	} {
		key, err := vars.Parse("%u")
		if err != nil {
			t.Fatal(err)
		}
		p := &PasswdFile{File: source(t, "bob:"+tt.line+"\n"), Key: key, Scheme: "CRYPT"}
		e, err := p.Lookup(context.Background(), &vars.Values{User: "bob"})
		if got := strings.Join(e.Fields.Wire(), " "); err != nil || e.Password != tt.stored || got != tt.fields {
			t.Errorf("%s: got %q, %q, %v, want %q, %q", tt.name, e.Password, got, err, tt.stored, tt.fields)
		}
	}
}

func FuzzShadow(f *testing.F) {
	f.Add("bob:!$6$x:19000:0:99999:7::20000:", int64(1700000000))
	f.Add("bob:*:::::::", int64(-1))
	f.Add("bob:*:-1:-1:-1:-1:-1:-1:", int64(1))
	f.Fuzz(func(t *testing.T, line string, now int64) {
		if a, err := parseAging(line); err == nil {
			a.check(time.Unix(now, 0))
		}
		if l := passwdfile.ParseLine(line); l != nil {
			if e, err := account(l.Password); err == nil && e.Password == "" && l.Password != "" {
				t.Errorf("%q: no password, and not locked", line)
			}
		}
	})
}
