package master

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"culver/internal/authproto"
	"culver/internal/grant"
	"culver/internal/handoff"
	"culver/master/internal/rootexec"
	"culver/master/internal/users"
)

func testBirths(t *testing.T, location string) births {
	t.Helper()
	g, err := grant.NewMaker(location)
	if err != nil {
		t.Fatal(err)
	}
	return births{
		bounds: users.Bounds{FirstUID: 500, FirstGID: 1, Never: []int{900}},
		groups: []int{8},
		grants: g,
		make:   true,
	}
}

func ann() authproto.Redeemed {
	return authproto.Redeemed{User: authproto.User{Name: "ann", UID: 1000, GID: 1000, Home: "/home/ann", Fields: map[string]string{}}}
}

func TestBirthOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	b := testBirths(t, "maildir:%h/Maildir:CONTROL=/var/control/%u:INDEX=/var/index/%u")
	got, err := b.of(ann(), "doveadm", false)
	if err != nil {
		t.Fatal(err)
	}
	if !sameIdentity(got.child.Identity, rootexec.Identity{UID: 1000, GID: 1000, Groups: []int{8}}) {
		t.Errorf("identity: got %+v", got.child.Identity)
	}
	want := []rootexec.Path{{Above: "/home/ann", Make: true}, {Above: "/var/control", Below: "ann", Make: true},
		{Above: "/var/index", Below: "ann", Spare: true}}
	if !slices.Equal(got.child.Paths, want) {
		t.Errorf("paths: got %+v, want %+v", got.child.Paths, want)
	}
	for key, want := range map[string]string{
		"service": "doveadm", "user": "ann", "mail_path": "/home/ann/Maildir", "control_path": "/var/control/ann", "uid": "1000", "mail_layout": "maildir++",
	} {
		if got := got.grant[key]; got != want {
			t.Errorf("grant %s: got %q, want %q", key, got, want)
		}
	}
}

func TestBirthIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*authproto.User)
		want   string
	}{
		{"uid below the floor", func(u *authproto.User) { u.UID = 499 }, "first_valid_uid"},
		{"uid of root", func(u *authproto.User) { u.UID = 0 }, "never"},
		{"gid of root", func(u *authproto.User) { u.GID = 0 }, "never"},
		{"uid of our own", func(u *authproto.User) { u.UID = 900 }, "Culver itself"},
		{"no uid", func(u *authproto.User) { u.UID = -1 }, "no uid"},
		{"no home where the mail hangs on it", func(u *authproto.User) { u.Home = "" }, "home"},
		{"a name that climbs", func(u *authproto.User) { u.Fields["mail"] = "maildir:/srv/%u"; u.Name = "../bob" }, "mail_location"},
		{"a mail field that is none", func(u *authproto.User) { u.Fields["mail"] = "mbox:~/mail" }, "mail"},
		{"a quota that is none", func(u *authproto.User) { u.Fields["quota_rule"] = "*:storage=lots" }, "quota_rule"},
		{"a setting of his own that is none", func(u *authproto.User) { u.Fields["mail_fsync"] = "perhaps" }, "mail_fsync"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := testBirths(t, "maildir:~/Maildir")
			u := ann()
			tt.change(&u.User)
			_, err := b.of(u, "lmtp", false)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error about %q", err, tt.want)
			}
		})
	}
}

func TestUserdbFieldsOverrideOnlyAUsersOwnSettings(t *testing.T) {
	t.Parallel()
	b := testBirths(t, "maildir:~/Maildir")
	u := ann()
	u.Fields = map[string]string{
		"quota_rule": "*:storage=1G", "quota_rule2": "Trash:ignore", "mail_fsync": "always",
		"sandbox": "off", "uid": "0", "mail_root": "/", "nonsense": "x",
	}
	got, err := b.of(u, "lmtp", false)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := got.grant["mail_fsync"], "always"; got != want {
		t.Errorf("mail_fsync: got %q, want %q", got, want)
	}
	if got := strings.Split(got.grant["quota_rule"], "\t"); len(got) != 2 || !strings.HasPrefix(got[0], "*:") || !strings.HasPrefix(got[1], "Trash:") {
		t.Errorf("quota_rule: got %q, want both rules in their order", got)
	}
	for _, key := range []string{"sandbox", "mail_root", "nonsense"} {
		if v, ok := got.grant[key]; ok {
			t.Errorf("%s: got %q in the grant, want nothing", key, v)
		}
	}
	if got.grant["uid"] != "1000" {
		t.Errorf("uid: got %s, want 1000", got.grant["uid"])
	}
}

func TestMailRootIsTheWholeBoxOfASharedWorker(t *testing.T) {
	t.Parallel()
	b := testBirths(t, "maildir:~/Maildir")
	b.mailRoot, b.marker = "/srv/mail", ".mounted"
	u := ann()
	u.Home = "/srv/mail/ann"
	got, err := b.of(u, "lmtp", true)
	if err != nil {
		t.Fatal(err)
	}
	if want := []rootexec.Path{{Above: "/srv/mail"}}; !slices.Equal(got.child.Paths, want) {
		t.Errorf("paths: got %+v, want %+v", got.child.Paths, want)
	}
	if got, want := got.child.Marker, "/srv/mail/.mounted"; got != want {
		t.Errorf("marker: got %s, want %s", got, want)
	}
	if got, err = b.of(u, "lmtp", false); err != nil {
		t.Fatal(err)
	}
	if got := got.child.Paths; len(got) != 1 || got[0].Above != u.Home {
		t.Errorf("paths of a worker of one user: got %+v, want %s alone", got, u.Home)
	}
}

func TestNonRootModeKeepsOneIdentity(t *testing.T) {
	t.Parallel()
	b := testBirths(t, "maildir:~/Maildir")
	b.keep = &rootexec.Identity{UID: 1234, GID: 1234}
	u := ann()
	u.UID, u.GID = -1, -1
	got, err := b.of(u, "lmtp", false)
	if err != nil || got.child.UID != 1234 {
		t.Errorf("got uid %d, %v; want 1234", got.child.UID, err)
	}
}

func TestPIDFileKeepsASecondMasterAway(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/master.pid"
	first, err := lockPIDFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockPIDFile(path); !errors.Is(err, ErrRunning) {
		t.Errorf("second: got %v, want %v", err, ErrRunning)
	}
	first.remove()
	third, err := lockPIDFile(path)
	if err != nil {
		t.Fatalf("after the first ended: %v", err)
	}
	third.remove()
}

func TestAGrantThatIsTooLargeIsSaidClearly(t *testing.T) {
	t.Parallel()
	b := testBirths(t, "maildir:~/Maildir")
	u := ann()
	u.Fields["lda_original_recipient_header"] = strings.Repeat("x", handoff.MaxGrant)
	u.Fields["deliver_log_format"] = strings.Repeat("x", handoff.MaxGrant)
	if _, err := b.of(u, "lmtp", false); err == nil || !strings.Contains(err.Error(), "16384 bytes") {
		t.Errorf("got %v, want the limit named", err)
	}
}

func TestSparesBelongToTheOneIdentityThatIsLeft(t *testing.T) {
	t.Parallel()
	b := births{bounds: users.Bounds{FirstUID: 5000, LastUID: 5000, FirstGID: 5000, LastGID: 5000}, mailRoot: "/srv/mail"}
	if who, ok := b.only(); !ok || who.UID != 5000 {
		t.Errorf("got %+v, %t", who, ok)
	}
	b.bounds.LastUID = 5001
	if who, ok := b.only(); ok {
		t.Errorf("got %+v of two uids", who)
	}
}
