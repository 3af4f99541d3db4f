package lmtp

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
	"culver/internal/favour"
	"culver/internal/fdpass"
	"culver/internal/grant"
	"culver/internal/handoff"
	"culver/internal/maillog/logline"
	"culver/internal/mailstore/maildir"
	"culver/internal/settings/finished"
	"culver/services/lmtp/deliver"
)

// Local saves mail within the front itself, for users whose uid is the front's
// own (lmtp_reproxy = uid-differs): a worker's code at the other end of a
// socketpair, so that the front treats it as it treats a worker.
type Local struct {
	settings finished.Bag // a worker's
	root     string       // mail_root, which is in the front's box
	marker   string       // mail_mount_marker as a path, or ""
	grants   *grant.Maker
	names    maildir.Names
	slots    chan struct{} // process_limit: a delivery holds a thread while it syncs
	turns    turns         // lmtp_user_concurrency_limit
	patience time.Duration // worker_queue_timeout
	uid, gid int
}

// NewLocal reads what the master adds to a front's settings where the front may
// deliver; without that it is nil.
func NewLocal(b finished.Bag) (*Local, error) {
	root, ok := b["mail_root"]
	if !ok {
		return nil, nil
	}
	grants, err := grant.NewMaker(b.String("mail_location"))
	if err != nil {
		return nil, err
	}
	grants.MakeHomes = b.Bool("mail_home_create")
	marker := b["mail_mount_marker"]
	if marker != "" {
		marker = filepath.Join(root, marker)
	}
	return &Local{
		marker:   marker,
		settings: b.Sub("deliver/"),
		root:     strings.TrimSuffix(root, "/") + "/",
		grants:   grants,
		slots:    make(chan struct{}, b.Int("process_limit")),
		turns:    turns{limit: int(b.Int("lmtp_user_concurrency_limit")), of: map[string]*turn{}},
		patience: b.Duration("worker_queue_timeout"),
		uid:      os.Getuid(),
		gid:      os.Getgid(),
	}, nil
}

// Serves tells whether a user's mail is the front's to write: another gid, or
// groups of the account, would be powers that the front does not have.
func (l *Local) Serves(u authproto.User) bool {
	return u.UID == l.uid && u.GID == l.gid
}

// Worker gives one end of a conversation about the user.
func (l *Local) Worker(ctx context.Context, u authproto.User) (int, error) {
	if l.marker != "" {
		// Without its mount, mail_root is an empty folder, and what is saved there
		// is out of sight as soon as the mount is back.
		if _, err := os.Lstat(l.marker); err != nil {
			return -1, fmt.Errorf("mail_mount_marker: %w", err)
		}
	}
	g, err := l.grants.For(u)
	if err != nil {
		return -1, err
	}
	for _, key := range []string{"mail_path", "inbox_path", "control_path"} {
		if !strings.HasPrefix(g.Bag[key]+"/", l.root) {
			return -1, fmt.Errorf("%s %s is not below mail_root", key, g.Bag[key])
		}
	}
	done, err := l.enter(ctx, u.Name)
	if err != nil {
		return -1, err
	}
	ours, theirs, err := fdpass.Pair(unix.SOCK_STREAM, 0)
	if err != nil {
		done()
		return -1, err
	}
	go func() {
		defer done()
		// A fault of ours with one mailbox must not end every session there is;
		// this one's stream closes, and its answer is a 451.
		defer func() {
			if why := recover(); why != nil {
				logline.Print(logline.Error, "", u.Name, "panic: %v\n%s", why, debug.Stack())
			}
		}()
		deliver.Serve(l.settings, &l.names, g.Bag, theirs)
	}()
	return ours, nil
}

// enter waits for a place among the user's deliveries, and then among all, as
// the master does for workers. The user's first: nobody waits for one who is at
// his own limit.
func (l *Local) enter(ctx context.Context, user string) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, l.patience)
	defer cancel()
	leave, ok := l.turns.enter(ctx, user)
	if !ok {
		return nil, &favour.Refusal{Code: handoff.CodeLimit, Setting: "lmtp_user_concurrency_limit"}
	}
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, &favour.Refusal{Code: handoff.CodeLimit, Setting: "process_limit"}
	}
	return func() { <-l.slots; leave() }, nil
}
