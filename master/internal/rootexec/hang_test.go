package rootexec_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/mailtest"
	"culver/master/internal/rootexec"
)

// deadMount mounts a file system that this test serves itself and that never
// answers a lookup: a file server that is gone. revive ends it: what hung fails.
// Names that begin with "slow" are directories that it does find, after slowLookup.
func deadMount(t testing.TB, dir string) (revive func()) {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		mailtest.Need(t, "/dev/fuse", err)
	}
	if err := unix.Mount("dead", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV,
		fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)); err != nil {
		unix.Close(fd)
		mailtest.Need(t, "the right to mount FUSE", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		serveDead(fd, stop)
	}()
	revive = sync.OnceFunc(func() {
		unix.Write(stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		<-served
		unix.Close(fd) // aborts all that hangs
		unix.Close(stop)
		unix.Unmount(dir, unix.MNT_DETACH)
	})
	t.Cleanup(revive)
	return revive
}

// slowLookup is far above the time after which a spawner calls an opening slow.
const slowLookup = 30 * time.Millisecond

// serveDead speaks just enough of the FUSE protocol to be mounted.
func serveDead(fd, stop int) {
	const lookup, getattr, initialize = 1, 3, 26
	buf := make([]byte, 1<<17)
	le := binary.LittleEndian
	for {
		polled := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(polled, -1); err == unix.EINTR {
			continue
		} else if err != nil || polled[1].Revents != 0 {
			return
		}
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR || err == unix.ENOENT {
			continue
		}
		if err != nil || n < 40 {
			return
		}
		var out []byte
		switch le.Uint32(buf[4:]) {
		case lookup:
			if bytes.HasPrefix(buf[40:n], []byte("slow")) {
				found := make([]byte, 16+128)
				le.PutUint32(found, uint32(len(found)))
				copy(found[8:], buf[8:16])
				le.PutUint64(found[16:], 2) // the node; it may be forgotten at once
				putDirectory(found[16+40:])
				time.AfterFunc(slowLookup, func() { unix.Write(fd, found) })
			}
			continue // never
		case initialize:
			out = make([]byte, 64)
			le.PutUint32(out, 7)
			le.PutUint32(out[4:], 31)
			le.PutUint32(out[12:], 1<<18) // FUSE_PARALLEL_DIROPS: one lookup that hangs holds up no other
			le.PutUint32(out[20:], 4096)  // max_write
		case getattr:
			out = make([]byte, 16+88)
			putDirectory(out[16:])
		}
		reply := make([]byte, 16, 16+len(out))
		le.PutUint32(reply, uint32(16+len(out)))
		if out == nil {
			e := -int32(unix.ENOSYS)
			le.PutUint32(reply[4:], uint32(e))
		}
		copy(reply[8:], buf[8:16])
		unix.Write(fd, append(reply, out...))
	}
}

func putDirectory(attr []byte) {
	le := binary.LittleEndian
	le.PutUint64(attr, 2)                       // inode
	le.PutUint32(attr[60:], unix.S_IFDIR|0o755) // mode
	le.PutUint32(attr[64:], 2)                  // links
}

func TestRootOpeningThatHangsDelaysNobody(t *testing.T) {
	mailtest.NeedRoot(t) // not parallel: it measures time
	base, home := homes(t, alice)
	dead := base + "/dead"
	mkdir(t, dead, 0, 0o755)
	revive := deadMount(t, dead)
	n := open(t, nil)
	const deadline = 700 * time.Millisecond
	hung := func(i int) rootexec.Child {
		return rootexec.Child{Identity: user(50400 + i), User: fmt.Sprint("hung", i), Deadline: deadline,
			Paths: []rootexec.Path{{Above: dead + fmt.Sprint("/", i), Make: true}}}
	}
	results := make(chan rootexec.Result, 16)
	for i := range 16 { // more than there are spawners
		c, _ := n.begin(hung(i))
		go func() { results <- <-c }()
	}
	var worst time.Duration
	births := 0
	for begin := time.Now(); time.Since(begin) < deadline; births++ {
		at := time.Now()
		r, control := n.start(rootexec.Child{Identity: user(alice), User: "alice", Paths: []rootexec.Path{{Above: home(alice)}}})
		worst = max(worst, time.Since(at))
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		control.Close()
		reap(r.PID)
	}
	t.Logf("%d births of another user beside 16 openings that hang, worst %v", births, worst)
	if worst > mostDelay {
		t.Errorf("another user waited %v, want at most %v", worst, mostDelay)
	}
	for range 16 {
		if r := <-results; r.Class != rootexec.ClassTimeout {
			t.Errorf("class %d, %v; want %d", r.Class, r.Err, rootexec.ClassTimeout)
		}
	}
	at := time.Now()
	r, _ := n.start(hung(3))
	if r.Class != rootexec.ClassTimeout || !strings.Contains(r.Err.Error(), "earlier") || time.Since(at) > mostDelay {
		t.Errorf("the same user again: class %d, %v after %v; want %d at once", r.Class, r.Err, time.Since(at), rootexec.ClassTimeout)
	}
	revive()
	os.Remove(dead + "/3")
	for { // until the thread's end is known
		r, control := n.start(hung(3))
		if r.PID != 0 {
			control.Close()
			reap(r.PID)
		}
		if r.Class != rootexec.ClassTimeout {
			break
		}
	}
}
