package rootexec_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"culver/internal/mailtest"
	"culver/master/internal/rootexec"
)

// The users of these tests: numbers that need no account.
const (
	alice = 50101
	bob   = 50102
	vmail = 50200
)

func user(uid int) rootexec.Identity { return rootexec.Identity{UID: uid, GID: uid} }

// homes makes a directory that everybody may enter, with a home for each uid.
func homes(t testing.TB, uids ...int) (base string, home func(uid int) string) {
	t.Helper()
	base, err := os.MkdirTemp("", "rootexec-homes-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	home = func(uid int) string {
		return filepath.Join(base, map[int]string{alice: "alice", bob: "bob", vmail: "vmail"}[uid])
	}
	for _, uid := range uids {
		mkdir(t, home(uid), uid, 0o700)
	}
	return base, home
}

func mkdir(t testing.TB, path string, uid int, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.Mkdir(path, mode), os.Chmod(path, mode), os.Chown(path, uid, uid)); err != nil {
		t.Fatal(err)
	}
}

// mail puts a message of the uid's into its home, readable by everybody, so that
// nothing but the box protects it.
func mail(t testing.TB, home string, uid int, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(home, "mail")
	if err := errors.Join(os.WriteFile(path, []byte("secret"), mode), os.Chmod(path, mode), os.Chown(path, uid, uid)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRootChildHasTheIdentityAndGroupsGiven(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	_, home := homes(t, alice)
	n := open(t, nil)
	who := rootexec.Identity{UID: alice, GID: bob, Groups: []int{60002, 60001}}
	if err := os.Chown(home(alice), alice, bob); err != nil {
		t.Fatal(err)
	}
	got := n.ask(rootexec.Child{Identity: who, Paths: []rootexec.Path{{Above: home(alice)}}}, "save "+home(alice))
	if want := "50101 50101 50102 50102 [60001 60002]"; got.Identity != want {
		t.Errorf("identity is %s, want %s", got.Identity, want)
	}
	if want := "CULVER_IDENTITY=50101:50102:60001,60002"; !slices.Contains(got.Env, want) {
		t.Errorf("environment is %v, want %s in it", got.Env, want)
	}
	if got.Answers["root"] == "" {
		t.Error("the child could become root again")
	}
	if a := got.Answers["save "+home(alice)]; a != "" {
		t.Errorf("save: %s", a)
	}
}

// hostile is what a worker gone bad tries on another user's mail.
func hostile(mail, own string) []string {
	o := []string{"rename " + mail + " " + own + "/got", "rename " + own + "/mine " + mail, "link " + mail + " " + own + "/got",
		"link " + own + "/mine " + mail + "2", "symlink " + mail + " " + own + "/ln"}
	for _, verb := range []string{"open", "write", "chmod", "fchmodat2", "chown", "chown-empty-path", "fchmod-opath", "utimes",
		"futimens-opath", "setxattr", "setxattrat", "truncate", "open-truncate", "remove", "exec"} {
		o = append(o, verb+" "+mail)
	}
	return append(o, "mkdir "+mail+".d", "socket", "ptrace", "kill", "unshare", "newuser", "open /etc/passwd", "open /proc/self/status")
}

func TestRootOtherUsersMailIsRefusedAlways(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	for _, tt := range []struct {
		name          string
		owner, worker int
		mode          os.FileMode
	}{
		{"with two uids and an open mode", bob, alice, 0o777},
		{"with two uids", bob, alice, 0o600},
		{"with one uid for all", vmail, vmail, 0o777},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base, _ := homes(t)
			theirs, own := filepath.Join(base, "theirs"), filepath.Join(base, "own")
			mkdir(t, theirs, tt.owner, 0o777)
			mkdir(t, own, tt.worker, 0o700)
			if err := os.WriteFile(own+"/mine", nil, 0o666); err != nil {
				t.Fatal(err)
			}
			target := mail(t, theirs, tt.owner, tt.mode)
			before := look(t, target)
			n := open(t, nil)
			orders := hostile(target, own)
			got := n.ask(rootexec.Child{Identity: user(tt.worker), Paths: []rootexec.Path{{Above: own}}}, orders...)
			for _, o := range orders {
				if answer, ok := got.Answers[o]; !ok || answer == "" {
					t.Errorf("%s: was done", o)
				} else if strings.Contains(answer, "no such order") {
					t.Errorf("%s: %s", o, answer)
				}
			}
			if after := look(t, target); after != before {
				t.Errorf("the mail is %+v, was %+v", after, before)
			}
		})
	}
}

// look gives all of a file that a hostile worker might change.
func look(t testing.TB, path string) (st unix.Stat_t) {
	t.Helper()
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	st.Atim = unix.Timespec{}
	return st
}

func TestRootTheseAttacksWorkOutsideTheBox(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	// Proof that the orders of the test above are real attacks: with the box
	// off and one uid, they succeed.
	base, _ := homes(t)
	own := filepath.Join(base, "own")
	mkdir(t, own, vmail, 0o700)
	target := mail(t, own, vmail, 0o600)
	n := open(t, func(p *rootexec.Program) { p.Sandbox = rootexec.SandboxOff })
	orders := []string{"open " + target, "chmod " + target, "fchmodat2 " + target, "chown " + target, "chown-empty-path " + target,
		"utimes " + target, "setxattr " + target, "setxattrat " + target, "link " + target + " " + own + "/l", "truncate " + target,
		"open-truncate " + target, "socket", "open /etc/passwd", "rename " + target + " " + own + "/r"}
	got := n.ask(rootexec.Child{Identity: user(vmail), Paths: []rootexec.Path{{Above: own}}}, orders...)
	for _, o := range orders {
		if got.Answers[o] != "" {
			t.Errorf("%s: %s, want it done", o, got.Answers[o])
		}
	}
}

func TestRootHostileHomes(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	base, home := homes(t, alice, bob)
	mkdir(t, home(bob)+"/Maildir", bob, 0o755)
	mkdir(t, base+"/public", 0, 0o777)
	mkdir(t, base+"/private", alice, 0o700)
	mkdir(t, base+"/private/home", alice, 0o700)
	mkdir(t, base+"/spool", 0, 0o755)
	mkdir(t, base+"/locked", 0, 0o700)
	for link, target := range map[string]string{
		"public/alice":  home(bob),   // put there by anybody
		"rootlink":      home(alice), // put there by root
		"squashed":      home(bob),   // by root, to another's private home
		"alice/Maildir": home(bob) + "/Maildir",
		"loop":          "loop",
		"relative":      "public/../alice",
	} {
		if err := os.Symlink(target, filepath.Join(base, link)); err != nil {
			t.Fatal(err)
		}
	}
	n := open(t, nil)
	for _, tt := range []struct {
		name  string
		path  rootexec.Path
		class rootexec.Class
		want  string // in the error
	}{
		{"a home is a directory", rootexec.Path{Above: home(alice)}, 0, ""},
		{"a link in a directory that anybody can write", rootexec.Path{Above: base + "/public/alice"}, rootexec.ClassPath, "symbolic link"},
		{"a link that root put there", rootexec.Path{Above: base + "/rootlink"}, 0, ""},
		{"a relative link through a directory that anybody can write", rootexec.Path{Above: base + "/relative"}, 0, ""},
		{"a link that leads to itself", rootexec.Path{Above: base + "/loop"}, rootexec.ClassPath, "too many"},
		{"a Maildir that is a link", rootexec.Path{Above: home(alice), Below: "Maildir"}, rootexec.ClassPath, "too many"},
		{"a link into another's home", rootexec.Path{Above: base + "/squashed/Maildir"}, rootexec.ClassPath, "permission denied"},
		{"below leads out", rootexec.Path{Above: home(alice), Below: "../bob"}, rootexec.ClassPath, "cross-device"},
		{"a home on a directory only its user may enter", rootexec.Path{Above: base + "/private/home"}, 0, ""},
		{"a home on a directory only root may enter", rootexec.Path{Above: base + "/locked/home", Make: true}, rootexec.ClassPath, "permission denied"},
		{"a missing home", rootexec.Path{Above: base + "/nobody"}, rootexec.ClassPath, "no such file"},
		{"a missing home's missing parent", rootexec.Path{Above: base + "/none/nobody", Make: true}, rootexec.ClassPath, "parent"},
		{"a missing home is made where root alone writes", rootexec.Path{Above: base + "/spool/made", Make: true}, 0, ""},
		{"a missing Maildir is made in the home", rootexec.Path{Above: base + "/private/home", Below: "Maildir", Make: true}, 0, ""},
		{"a hidden Maildir is made in the home", rootexec.Path{Above: base + "/private/home", Below: ".mail", Make: true}, 0, ""},
		{"a missing index", rootexec.Path{Above: base + "/nowhere", Below: "alice", Spare: true}, 0, ""},
		{"an index that is there", rootexec.Path{Above: base + "/private", Below: "home", Spare: true}, 0, ""},
		{"an index that only root may enter", rootexec.Path{Above: base + "/locked/home", Spare: true}, rootexec.ClassPath, "permission denied"},
		{"a relative path", rootexec.Path{Above: "etc"}, rootexec.ClassPath, "invalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, control := n.start(rootexec.Child{Identity: user(alice), User: "alice", Paths: []rootexec.Path{tt.path}})
			control.Close()
			if r.PID != 0 {
				reap(r.PID)
			}
			if r.Class != tt.class || (r.Err == nil) != (tt.class == 0) {
				t.Fatalf("class %d, %v; want class %d", r.Class, r.Err, tt.class)
			}
			if r.Err != nil && !strings.Contains(r.Err.Error(), tt.want) {
				t.Errorf("error is %q, want %q in it", r.Err, tt.want)
			}
		})
	}
	for _, made := range []string{"spool/made", "private/home/Maildir", "private/home/.mail"} {
		st, err := os.Stat(filepath.Join(base, made))
		if err != nil {
			t.Error(err)
			continue
		}
		if sys := st.Sys().(*syscall.Stat_t); st.Mode() != os.ModeDir|0o700 || sys.Uid != alice || sys.Gid != alice {
			t.Errorf("%s is %v of %d:%d, want 0700 of alice", made, st.Mode(), sys.Uid, sys.Gid)
		}
	}
}

func TestRootMountMarkerMustBeThere(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	base, home := homes(t)
	n := open(t, nil)
	c := rootexec.Child{Identity: user(alice), Marker: base + "/.mounted", Paths: []rootexec.Path{{Above: home(alice), Make: true}}}
	r, _ := n.start(c)
	if r.Class != rootexec.ClassMount {
		t.Fatalf("class %d, %v; want %d", r.Class, r.Err, rootexec.ClassMount)
	}
	if _, err := os.Stat(home(alice)); err == nil {
		t.Error("a home was made on a disk that is not mounted")
	}
	if err := os.WriteFile(c.Marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, control := n.start(c)
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	control.Close()
	reap(r.PID)
}

func TestRootFolderLinkLeadsNowhere(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	base, _ := homes(t)
	for _, u := range []string{"one", "two"} { // one uid: only the box keeps them apart
		mkdir(t, base+"/"+u, vmail, 0o700)
		mkdir(t, base+"/"+u+"/Maildir", vmail, 0o700)
	}
	mail(t, base+"/two", vmail, 0o666)
	if err := os.Symlink(base+"/two", base+"/one/Maildir/.Folder"); err != nil {
		t.Fatal(err)
	}
	n := open(t, nil)
	through := base + "/one/Maildir/.Folder/"
	got := n.ask(rootexec.Child{Identity: user(vmail), Paths: []rootexec.Path{{Above: base + "/one"}}},
		"open "+through+"mail", "write "+through+"new", "mkdir "+through+"d", "save "+base+"/one")
	for o, answer := range got.Answers {
		if (answer == "") != strings.HasPrefix(o, "save") {
			t.Errorf("%s: %q", o, answer)
		}
	}
}
