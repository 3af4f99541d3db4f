package maillocation

import (
	"reflect"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	t.Parallel()
	bob := Vars{User: "Bob@Example.org", Home: "/home/bob"}
	for _, tt := range []struct {
		name, template string
		vars           Vars
		want           Location
	}{
		{"tilde is the home", "maildir:~/Maildir", bob,
			Location{Root: "/home/bob/Maildir"}},
		{"long names", "maildir:/m/%{domain}/%{username}-%{user}", bob,
			Location{Root: "/m/Example.org/Bob-Bob@Example.org"}},
		{"folds and cuts", "maildir:/m/%1Ln/%2.1Un/%-3.3d/%n%%", bob,
			Location{Root: "/m/b/B/org/Bob%"}},
		{"every key", "maildir:%h/m:INBOX=%h/in:CONTROL=/c/%Lu:INDEX=/i/%Lu:LAYOUT=FS:UTF-8:SUBSCRIPTIONS=subs", bob,
			Location{Root: "/home/bob/m", Inbox: "/home/bob/in", Control: "/c/bob@example.org", Index: "/i/bob@example.org",
				Layout: "fs", UTF8: true, Subscriptions: "subs"}},
		{"an index in memory has no path", "maildir:/m/%n:INDEX=MEMORY", Vars{User: "a"},
			Location{Root: "/m/a", Inbox: "/m/a", Control: "/m/a", Index: ""}},
		{"double colon is a colon", "maildir:/m/a::b/%n", Vars{User: "a"}, Location{Root: "/m/a:b/a"}},
		{"a cut may leave nothing beside other text", "maildir:/m/%9.1nx/%n", Vars{User: "a"}, Location{Root: "/m/x/a"}},
		{"dots inside a name climb nowhere", "maildir:/m/%n", Vars{User: "a..b"}, Location{Root: "/m/a..b"}},
		{"a home in the middle", "maildir:~/Maildir:INDEX=/i/%h", bob, Location{Root: "/home/bob/Maildir", Index: "/i/home/bob"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := tt.want
			for _, p := range []*string{&want.Inbox, &want.Control, &want.Index} {
				if *p == "" && !strings.Contains(tt.template, "MEMORY") {
					*p = want.Root
				}
			}
			if want.Layout == "" {
				want.Layout = "maildir++"
			}
			if want.Subscriptions == "" {
				want.Subscriptions = "subscriptions"
			}
			tpl, err := Parse(tt.template)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tpl.Expand(tt.vars)
			if err != nil || got != want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		"":                            "no driver",
		"~/Maildir":                   "no driver",
		"mbox:~/mail":                 "not supported, only maildir",
		"maildir:":                    "empty",
		"maildir:Maildir":             "must begin with",
		"maildir:%n/Maildir":          "must begin with",
		"maildir:/a/../b":             "..",
		"maildir:%hx":                 "followed by a slash",
		"maildir:/m/%x":               "unknown variable %x",
		"maildir:/m/%{hostname}":      "unknown variable %hostname",
		"maildir:/m/%{user":           "closing brace",
		"maildir:/m/%":                "middle of a variable",
		"maildir:/m/%2":               "middle of a variable",
		"maildir:/m/%1.n":             "width",
		"maildir:/m/%04n":             "width",
		"maildir:/m/%Lh":              "cannot be folded",
		"maildir:/m/%u:LAYOUT=index":  "not supported: only Dovecot",
		"maildir:/m/%u:LAYOUT=what":   "unknown layout",
		"maildir:/m/%u:DIRNAME=x":     "not supported",
		"maildir:/m/%u:COLOUR=blue":   "unknown key",
		"maildir:/m/%u:INDEX=x":       "INDEX=x: the path must begin",
		"maildir:/m/%u:SUBSCRIPTIONS": "name of one file",
	} {
		if _, err := Parse(template); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) got %v, want %q", template, err, want)
		}
	}
}

func TestExpandRefusesClimbing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, template string
		vars           Vars
	}{
		{"slash in a user", "maildir:/m/%u", Vars{User: "a/b"}},
		{"slash in a domain", "maildir:/m/%d/%n", Vars{User: "a@../b"}},
		{"dots alone", "maildir:/m/%n", Vars{User: "..@x"}},
		{"dots by cutting", "maildir:/m/%2n/%n", Vars{User: "..b"}},
		{"dots from two values", "maildir:/m/%1n%1d", Vars{User: ".@.x"}},
		{"one dot loses a level", "maildir:/m/%1n/%n", Vars{User: ".b"}},
		{"no domain loses a level", "maildir:/m/%d/%n", Vars{User: "example.org"}},
		{"NUL", "maildir:/m/%n", Vars{User: "a\x00b"}},
		{"dots in the home", "maildir:~/m", Vars{User: "a", Home: "/home/../etc"}},
		{"relative home", "maildir:~/m", Vars{User: "a", Home: "home"}},
		{"no home", "maildir:~/m", Vars{User: "a"}},
		{"too long", "maildir:/m/%n", Vars{User: strings.Repeat("a", 256)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tpl, err := Parse(tt.template)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := tpl.Expand(tt.vars); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
			if got := tpl.Boxes(tt.vars); got != nil {
				t.Errorf("Boxes: got %+v, want none", got)
			}
		})
	}
}

func TestBoxes(t *testing.T) {
	t.Parallel()
	bob := Vars{User: "bob@x", Home: "/home/bob"}
	for _, tt := range []struct {
		name, template string
		want           []Box
	}{
		{"below the home needs none", "maildir:~/Maildir:INDEX=%h/i", nil},
		{"the same place counts once", "maildir:/m/%u:CONTROL=/m/%u", []Box{{Above: "/m", Below: "bob@x"}}},
		{"text before a variable in its component is below", "maildir:/srv/mail/u-%n/m", []Box{{Above: "/srv/mail", Below: "u-bob/m"}}},
		{"no variable at all", "maildir:/srv/mail/all", []Box{{Above: "/srv/mail/all", Below: ""}}},
		{"control and index outside", "maildir:~/m:CONTROL=/c/%n:INDEX=/i/%h", []Box{{Above: "/c", Below: "bob"}, {Above: "/i", Below: "home/bob", Index: true}}},
		{"an index beside the mail is no place of its own", "maildir:/m/%u:INDEX=/m/%u", []Box{{Above: "/m", Below: "bob@x"}}},
		{"a variable at the top", "maildir:/%n", []Box{{Above: "/", Below: "bob"}}},
		{"a name that only begins like the home", "maildir:/home/bobby/%n", []Box{{Above: "/home/bobby", Below: "bob"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tpl, err := Parse(tt.template)
			if err != nil {
				t.Fatal(err)
			}
			if got := tpl.Boxes(bob); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
