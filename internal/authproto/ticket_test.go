package authproto

import (
	"strings"
	"testing"
)

// What root reads of auth's answer: one fixed form, or nothing.
func TestRedeemedIsOneFixedForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		ok   bool
	}{
		{"one command", []string{"admin", "search", "ann", "uid=1000", "gid=1000"}, true},
		{"several", []string{"admin", "batch,search,mailbox list", "ann", "uid=1000"}, true},
		{"none", []string{"admin", "", "ann", "uid=1000"}, false},
		{"an empty one among them", []string{"admin", "search,,expunge", "ann", "uid=1000"}, false},
		{"what is no command", []string{"admin", "search\tall", "ann", "uid=1000"}, false},
		{"in capitals", []string{"admin", "SEARCH", "ann", "uid=1000"}, false},
		{"too many", []string{"admin", strings.Repeat("search,", MaxCommands) + "search", "ann"}, false},
		{"no principal", []string{"", "search", "ann", "uid=1000"}, false},
		{"no user", []string{"admin", "search", ""}, false},
		{"nothing after the commands", []string{"admin", "search"}, false},
		{"a uid that is none", []string{"admin", "search", "ann", "uid=-1"}, false},
		{"two uids", []string{"admin", "search", "ann", "uid=1", "uid=2"}, false},
	} {
		got, err := parseRedeemed(tt.args)
		if (err == nil) != tt.ok {
			t.Errorf("%s: got %+v, %v", tt.name, got, err)
		}
	}
	r, err := parseRedeemed([]string{"admin", "batch,mailbox list", "ann", "uid=1000", "home=/h"})
	if err != nil || r.Principal != "admin" || len(r.Commands) != 2 || r.Commands[1] != "mailbox list" || r.Name != "ann" || r.UID != 1000 || r.Home != "/h" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestCommandsHaveOneSpelling(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"search", "mailbox list", "force-resync", "flags add"} {
		if !ValidCommand(name) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range []string{"", " ", "Search", "mailbox  list", "mailbox list ", " search", "search\n", "search,expunge",
		"mailbox_list", "search\x00", "sеarch", "mailbox*", strings.Repeat("a", MaxCommand+1)} {
		if ValidCommand(name) {
			t.Errorf("%q is taken", name)
		}
	}
}
