package config

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"syscall"

	"culver/internal/settings"
)

// fewBytes is what a password that may be guessed at over the network should have
// at least.
const fewBytes = 8

// Password looks at doveadm_password_file as the master will, where a listener
// needs it, and as far as the caller may: an error is what the master refuses to
// start with, a note is not.
func Password(cfg *settings.Config) (note string, err error) {
	name := cfg.Global["doveadm_password_file"]
	s, on := cfg.Service("doveadm")
	if name == "" || !on || len(s.Inet) == 0 {
		return "", nil
	}
	unseen := func(err error) (string, error) {
		if os.IsPermission(err) {
			return fmt.Sprintf("doveadm_password_file %s cannot be looked at by this user", name), nil
		}
		return "", fmt.Errorf("doveadm_password_file %s: %w", name, plain(err))
	}
	// Its mode can be told where it cannot be opened.
	info, err := os.Lstat(name)
	if err != nil {
		return unseen(err)
	}
	stat, _ := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("doveadm_password_file %s: it is no plain file", name)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("doveadm_password_file %s: mode %04o: others than its owner may use it; want 0600", name, info.Mode().Perm())
	case os.Geteuid() == 0 && stat != nil && stat.Uid != 0:
		return "", fmt.Errorf("doveadm_password_file %s: owner %d: want it root's", name, stat.Uid)
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return unseen(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return unseen(err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	switch line = bytes.TrimSuffix(line, []byte("\r")); {
	case len(line) == 0:
		return "", fmt.Errorf("doveadm_password_file %s: its first line is empty", name)
	case len(line) < fewBytes:
		return fmt.Sprintf("doveadm_password_file %s: a password of fewer than %d bytes is soon guessed", name, fewBytes), nil
	}
	return "", nil
}
