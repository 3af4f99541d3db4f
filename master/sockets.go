package master

import (
	"errors"
	"os"
	"path/filepath"

	"culver/internal/settings"
	"culver/master/listen"
)

// sockets are the listeners that are open, by key. They outlive the services
// that use them: a reload takes over what it still needs, and no client is ever
// refused for a reload.
type sockets map[string]*listen.Listener

// open opens what a configuration lists and is not open already, and gives each
// service's descriptors in its order. Nothing of s changes: the caller adopts
// what is fresh, or drops it.
func (s sockets) open(cfg *settings.Config) (fds map[string][]int, fresh sockets, err error) {
	fds, fresh = map[string][]int{}, sockets{}
	var errs []error
	for _, service := range cfg.Services {
		if !started(service) {
			continue
		}
		for _, want := range cfg.Listeners(service) {
			key := listen.Key(want)
			l := s[key]
			if l != nil && !l.Present() {
				l = nil // somebody took its name away: whoever connects finds nothing
			}
			if l == nil {
				err := makeSocketDir(cfg.Global.String("base_dir"), want)
				if err == nil {
					l, err = listen.Open(want)
				}
				if err != nil {
					errs = append(errs, err)
					continue
				}
				fresh[key] = l
			}
			fds[service.Name] = append(fds[service.Name], l.FD)
		}
	}
	if errs != nil {
		fresh.drop()
		return nil, nil, errors.Join(errs...)
	}
	return fds, fresh, nil
}

// makeSocketDir makes the folder of a socket in a folder below base_dir, such as
// login/login: for us and the socket's group, whatever the socket's own mode. A
// folder that is there stays as it is; others are their owners' affair.
func makeSocketDir(base string, l settings.Listener) error {
	dir := filepath.Dir(l.Path)
	if l.Kind == "inet" || filepath.Dir(dir) != base {
		return nil
	}
	err := os.Mkdir(dir, 0o750)
	if os.IsExist(err) {
		return nil
	}
	return errors.Join(err, os.Chown(dir, -1, l.Owner.GID), os.Chmod(dir, 0o750))
}

// adopt takes in what open opened, in place of what has lost its name.
func (s sockets) adopt(fresh sockets) {
	for key, l := range fresh {
		if old := s[key]; old != nil {
			old.Close()
		}
		s[key] = l
	}
}

// drop closes listeners that nobody will accept on, names and all: a client had
// better find nothing than queue there.
func (s sockets) drop() {
	for _, l := range s {
		l.Remove()
		l.Close()
	}
}

// release closes these listeners, names and all.
func (s sockets) release(all []settings.Listener) {
	for _, want := range all {
		key := listen.Key(want)
		if l := s[key]; l != nil {
			l.Remove()
			l.Close()
			delete(s, key)
		}
	}
}

// settle closes what a configuration no longer lists, and gives what stays the
// owner and mode that it says.
func (s sockets) settle(cfg *settings.Config) error {
	wanted := map[string]settings.Listener{}
	for _, service := range cfg.Services {
		if started(service) {
			for _, l := range cfg.Listeners(service) {
				wanted[listen.Key(l)] = l
			}
		}
	}
	var errs []error
	for key, l := range s {
		want, ok := wanted[key]
		if !ok {
			l.Remove()
			l.Close()
			delete(s, key)
		} else if want.Kind != "inet" {
			errs = append(errs, l.Adjust(want))
		}
	}
	return errors.Join(errs...)
}

// close closes everything. The names of unix sockets stay, as Dovecot's do: the
// next start replaces them, and meanwhile a client is refused and not lost.
func (s sockets) close() {
	for _, l := range s {
		l.Close()
	}
}
