package operate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"culver/internal/masterproto"
)

// stopWait is how long stop waits for the end before it leaves the master to
// it: deliveries finish first.
const stopWait = 30 * time.Second

// master connects to the master's control socket.
func (o *operation) master() (*masterproto.Client, error) {
	if path := o.p.Value("socket-path"); path != "" {
		conn, err := new(net.Dialer).DialContext(o.ctx, "unixpacket", path)
		if err != nil {
			return nil, err
		}
		return masterproto.NewClient(conn), nil
	}
	cfg, err := o.load()
	if err != nil {
		return nil, err
	}
	return masterproto.Dial(o.ctx, cfg.Global.String("base_dir"))
}

// withMaster is master for one order.
func (o *operation) withMaster(order func(*masterproto.Client) error) error {
	m, err := o.master()
	if err != nil {
		return err
	}
	defer m.Close()
	return order(m)
}

func (o *operation) serviceStatus() error {
	return o.withMaster(func(m *masterproto.Client) error {
		all, err := m.Services(o.p.All("service")...)
		if err != nil {
			return err
		}
		for _, s := range all {
			err := o.row(s.Name, num(s.Processes), num(s.Available), num(s.ProcessLimit), num(s.ClientLimit),
				num(int(s.Throttle/time.Second)), num(stamp(s.FailureLast)), num(s.FailuresInSecond), num(stamp(s.DropLast)),
				yes(s.ListenPending), yes(s.Listening), yes(s.Stopped), strconv.FormatUint(s.ProcessesAllTimes, 10))
			if err != nil {
				return err
			}
		}
		return o.header()
	})
}

func (o *operation) processStatus() error {
	return o.withMaster(func(m *masterproto.Client) error {
		all, err := m.Processes(o.p.All("service")...)
		if err != nil {
			return err
		}
		for _, p := range all {
			err := o.row(p.Service, num(p.PID), strconv.FormatUint(p.Available, 10), strconv.FormatUint(p.Total, 10),
				num(stamp(p.IdleSince)), num(stamp(p.LastStatus)), num(stamp(p.LastKill)))
			if err != nil {
				return err
			}
		}
		return o.header()
	})
}

func (o *operation) serviceStop() error {
	return o.withMaster(func(m *masterproto.Client) error {
		var all error
		for _, name := range o.p.All("service") {
			switch err := m.StopService(name); {
			case errors.Is(err, masterproto.ErrNotFound):
				all = errors.Join(all, failed(exitNotFound, "there is no service %q", name))
			case err != nil:
				return err
			}
		}
		return all
	})
}

func (o *operation) reload() error {
	return o.withMaster(func(m *masterproto.Client) error {
		err := m.Reload()
		if refused := (*masterproto.Refused)(nil); errors.As(err, &refused) {
			return failed(exitConfig, "the old configuration stays:\n%v", refused)
		}
		return err
	})
}

func (o *operation) stop() error {
	return o.withMaster(func(m *masterproto.Client) error {
		ctx, cancel := context.WithTimeout(o.ctx, stopWait)
		defer cancel()
		err := m.Stop(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return failed(exitTemp, "the master is still stopping after %v", stopWait)
		}
		return err
	})
}

func (o *operation) logReopen() error {
	return o.withMaster((*masterproto.Client).ReopenLogs)
}

// who prints the accesses under way, those of one user and service together
// unless -1 asks for each.
func (o *operation) who() error {
	want, err := o.wanted()
	if err != nil {
		return err
	}
	return o.withMaster(func(m *masterproto.Client) error {
		all, err := m.Accesses()
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(a masterproto.Access) bool { return !want(a) })
		slices.SortStableFunc(all, func(a, b masterproto.Access) int {
			return strings.Compare(a.User+"\x00"+a.Service, b.User+"\x00"+b.Service)
		})
		for len(all) > 0 {
			first, n := all[0], 1
			for !o.p.Has("1") && n < len(all) && all[n].User == first.User && all[n].Service == first.Service {
				n++
			}
			if o.p.Has("1") {
				err = o.row(first.User, first.Service, num(first.PID), "")
			} else {
				var pids []string
				for _, a := range all[:n] {
					pids = append(pids, num(a.PID))
				}
				// The master knows no client: its front does.
				err = o.row(first.User, num(n), first.Service, "("+strings.Join(pids, " ")+")", "()")
			}
			if err != nil {
				return err
			}
			all = all[n:]
		}
		return o.header()
	})
}

// kick ends accesses and prints whose they were.
func (o *operation) kick() error {
	want, err := o.wanted()
	if err != nil {
		return err
	}
	return o.withMaster(func(m *masterproto.Client) error {
		all, err := m.Accesses()
		if err != nil {
			return err
		}
		var kicked []string
		for _, a := range all {
			if !want(a) {
				continue
			}
			switch err := m.Kick(a); {
			case errors.Is(err, masterproto.ErrNotFound): // over by itself
			case err != nil:
				return err
			case !slices.Contains(kicked, a.User):
				kicked = append(kicked, a.User)
			}
		}
		if len(kicked) == 0 {
			o.line("no users kicked")
			return &failure{exitNotFound, ""}
		}
		o.line("kicked connections from the following users:")
		for _, user := range kicked {
			o.line(user)
		}
		return nil
	})
}

// wanted reads the masks of who and kick: at most one of users. A network is
// refused: the master does not know where the clients of its fronts are, and
// "nobody" would be a wrong answer.
func (o *operation) wanted() (func(masterproto.Access) bool, error) {
	mask := "*"
	for i, m := range o.p.All("mask") {
		if isNetwork(m) {
			return nil, failed(exitUnavailable, "%s: addresses of clients are not known to the master yet; name users", m)
		}
		if i > 0 {
			return nil, failed(exitUsage, "two masks of users: %s and %s", mask, m)
		}
		mask = m
	}
	return func(a masterproto.Access) bool { return match(mask, a.User) }, nil
}

func isNetwork(s string) bool {
	_, err := netip.ParsePrefix(s)
	if err != nil {
		_, err = netip.ParseAddr(s)
	}
	return err == nil
}

// match says whether a name fits a mask of * and ?, letters in either case. It
// goes back to the last star only, so that no mask takes long.
func match(mask, name string) bool {
	mask, name = strings.ToLower(mask), strings.ToLower(name)
	m, star, from := 0, -1, 0
	for n := 0; n < len(name); {
		switch {
		case m < len(mask) && mask[m] == '*':
			star, from = m, n
			m++
		case m < len(mask) && (mask[m] == '?' || mask[m] == name[n]):
			m++
			n++
		case star >= 0:
			from++
			m, n = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(mask[m:], "*") == ""
}

func num(n int) string { return fmt.Sprint(n) }

func yes(b bool) string {
	if b {
		return "y"
	}
	return "n"
}
