// Command worker is the least that a per-user worker can be: it takes one message
// on descriptor 3, makes it durable in the Maildir it was started in, says so,
// and ends.
//
// Runs as:   one mail user, in a box made by the floor's spawner.
// Trusts:    its caller; it is part of a measurement and of nothing else.
// Distrusts: nothing.
// Speaks:    two lines on a socketpair.
package main

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	if err := deliver(); err != nil {
		syscall.Write(3, []byte("451 "+err.Error()+"\n"))
		os.Exit(1)
	}
	syscall.Write(3, []byte("250 saved\n"))
}

// deliver is the durable write: file synced, named, directory synced.
func deliver() error {
	if _, err := syscall.Write(3, []byte("220 ready\n")); err != nil {
		return err
	}
	dir := os.Args[1]
	line, oob := make([]byte, 256), make([]byte, 64)
	_, n, _, _, err := unix.Recvmsg(3, line, oob, 0)
	if err != nil {
		return err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return unix.EBADMSG
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fds[0], &st); err != nil {
		return err
	}
	text := make([]byte, st.Size)
	if _, err := unix.Pread(fds[0], text, 0); err != nil {
		return err
	}
	return save(dir, strconv.Itoa(os.Getpid())+"."+os.Args[2], text)
}

func save(dir, name string, text []byte) error {
	f, err := os.OpenFile(dir+"/tmp/"+name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(dir+"/tmp/"+name, dir+"/new/"+name); err != nil {
		return err
	}
	d, err := unix.Open(dir+"/new", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return unix.Fsync(d)
}
