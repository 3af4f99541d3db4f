package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Users is a row of mail users user1@example.org, user2@example.org, ..., each
// with a home folder, and as root each with a uid and gid of its own.
type Users struct {
	Home     string // folder above the homes
	N        int
	FirstUID int  // user1's
	Single   bool // all have FirstUID
}

// MakeUsers makes the homes below dir. Not as root, all users are the caller.
func MakeUsers(dir string, n, firstUID int) (Users, error) {
	return makeUsers(Users{Home: filepath.Join(dir, "homes"), N: n, FirstUID: firstUID})
}

// MakeSingle makes the homes of users who share one uid.
func MakeSingle(dir string, n, uid int) (Users, error) {
	return makeUsers(Users{Home: filepath.Join(dir, "homes"), N: n, FirstUID: uid, Single: true})
}

func makeUsers(u Users) (Users, error) {
	if os.Getuid() != 0 {
		u.FirstUID, u.Single = os.Getuid(), true
	}
	if err := os.MkdirAll(u.Home, 0o755); err != nil {
		return u, err
	}
	for i := 1; i <= u.N; i++ {
		for _, d := range []string{u.HomeOf(i), u.Maildir(i), u.Maildir(i) + "/cur", u.Maildir(i) + "/new", u.Maildir(i) + "/tmp"} {
			if err := os.Mkdir(d, 0o700); err != nil {
				return u, err
			}
			if err := os.Chown(d, u.UID(i), u.GID(i)); err != nil {
				return u, err
			}
		}
	}
	if u.Single { // mail_root is a folder of the mail uid's own
		return u, os.Chown(u.Home, u.UID(1), u.GID(1))
	}
	return u, nil
}

// Name is the address of user i, from 1.
func (u Users) Name(i int) string { return fmt.Sprintf("user%d@example.org", i) }

// HomeOf is the home folder of user i.
func (u Users) HomeOf(i int) string { return filepath.Join(u.Home, fmt.Sprintf("user%d", i)) }

// Maildir is the INBOX of user i.
func (u Users) Maildir(i int) string { return filepath.Join(u.HomeOf(i), "Maildir") }

// UID is the uid of user i.
func (u Users) UID(i int) int {
	if u.Single {
		return u.FirstUID
	}
	return u.FirstUID + i - 1
}

// GID is the gid of user i.
func (u Users) GID(i int) int {
	if u.Single && os.Getuid() != 0 {
		return os.Getgid()
	}
	return u.UID(i)
}

// Passwd is the users in the form of a passwd-file, for Culver and Dovecot alike.
func (u Users) Passwd() string {
	var b strings.Builder
	for i := 1; i <= u.N; i++ {
		fmt.Fprintf(&b, "%s:{PLAIN}pass:%d:%d::%s::\n", u.Name(i), u.UID(i), u.GID(i), u.HomeOf(i))
	}
	return b.String()
}

// Empty removes all mail, so that the next run counts from nothing.
func (u Users) Empty() error {
	for i := 1; i <= u.N; i++ {
		names, err := filepath.Glob(u.Maildir(i) + "/[cnt][uem][rwp]/*")
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := os.Remove(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// Count is the number of messages of all users.
func (u Users) Count() (n int, err error) {
	for i := 1; i <= u.N; i++ {
		files, err := u.Files(i)
		if err != nil {
			return 0, err
		}
		n += len(files)
	}
	return n, nil
}

// Files are the messages of user i: all of new/ and cur/.
func (u Users) Files(i int) ([]string, error) {
	var files []string
	for _, sub := range []string{"new", "cur"} {
		dir := filepath.Join(u.Maildir(i), sub)
		list, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

// MessageIDs counts the messages of user i by their Message-ID.
func (u Users) MessageIDs(i int) (map[string]int, error) {
	files, err := u.Files(i)
	if err != nil {
		return nil, err
	}
	ids := map[string]int{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		ids[messageID(string(text))]++
	}
	return ids, nil
}

func messageID(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		if len(line) > 11 && strings.EqualFold(line[:11], "Message-ID:") {
			return strings.TrimSpace(line[11:])
		}
	}
	return ""
}
