package master

import (
	"fmt"

	"golang.org/x/sys/unix"

	"culver/internal/settings/finished"
	"culver/master/internal/rootexec"
)

// openPool puts the settings on a sealed descriptor and starts the spawners.
func openPool(p rootexec.Program, bag finished.Bag) (*rootexec.Pool, error) {
	fd, err := sealed(bag.Encode())
	if err != nil {
		return nil, fmt.Errorf("service %s: settings: %w", p.Service, err)
	}
	defer unix.Close(fd)
	p.Settings = fd
	return rootexec.Open(p)
}

// sealed gives a descriptor of text that nobody can change any more: all the
// children of a service share it.
func sealed(text []byte) (int, error) {
	fd, err := unix.MemfdCreate("settings", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	for rest := text; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
		rest = rest[n:]
	}
	const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, all); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
