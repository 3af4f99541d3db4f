package box

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// ProbeLandlock tries a box on a thread of its own: what should be refused must
// be refused, since a system call filter above us can make a part of a box fail
// silently.
func ProbeLandlock(abi int) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		result <- probeLandlock(abi)
	}()
	return <-result
}

func probeLandlock(abi int) error {
	if err := NoNewPrivileges(); err != nil {
		return err
	}
	r, err := NewRules(abi, false)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Enforce(); err != nil {
		return err
	}
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
		return errors.New("the box (Landlock) is in force and / could be opened all the same")
	}
	if err != unix.EACCES {
		return fmt.Errorf("box (Landlock): open of /: %w, want %w", err, unix.EACCES)
	}
	return nil
}

// ProbeFilter tries the filter that this process has loaded.
func ProbeFilter() error {
	// Without the filter: EBADF.
	if err := unix.Fchmodat(-1, "x", 0, 0); err != unix.EPERM {
		return fmt.Errorf("seccomp: fchmodat answers %w, want %w", err, unix.EPERM)
	}
	return nil
}
