package brain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"culver/internal/authproto"
	"culver/internal/backend"
	"culver/internal/doveadmproto"
)

// router finds out which server has a user's mail.
type router struct {
	lookup func(ctx context.Context, user string) (map[string]string, error)
	port   uint16             // doveadm_port
	secure backend.Protection // doveadm_ssl, unless the passdb says otherwise
}

// sites are the servers that a run has come to know.
type sites struct {
	open  func(backend.Target) (*lane, error)
	named map[string]int // doveadm_server blocks: hosts that a referral may name

	mu    sync.Mutex
	lanes map[backend.Target]*lane
}

// lane gives the lane of a site, a new one at the first time.
func (s *sites) lane(at backend.Target) (*lane, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ln := s.lanes[at]
	if ln == nil {
		var err error
		if ln, err = s.open(at); err != nil {
			return nil, err
		}
		if s.lanes == nil {
			s.lanes = map[backend.Target]*lane{}
		}
		s.lanes[at] = ln
	}
	return ln, nil
}

// knows tells whether the administrator has named a host, or the passdb has.
func (s *sites) knows(at backend.Target) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.lanes[at]
	_, host := s.named[at.Host]
	_, address := s.named[at.Address]
	return there || host || address
}

// passdb asks auth where users are.
func passdb(socket string) func(context.Context, string) (map[string]string, error) {
	c := &authproto.Client{Dial: authproto.Path(socket)}
	return func(ctx context.Context, user string) (map[string]string, error) {
		return c.Pass(ctx, user, authproto.Params{Service: "doveadm"})
	}
}

// laneOf finds the server of a job's user; with another name of his there in
// j.as. An error is about this user alone, and temporary.
func (r *run) laneOf(ctx, listing context.Context, j *job) (*lane, error) {
	if r.router == nil {
		return r.first, nil
	}
	fields, err := r.router.lookup(listing, j.user)
	switch _, proxied := fields["proxy"]; {
	case errors.Is(err, authproto.ErrNotFound), err == nil && !proxied:
		return r.running(ctx, listing, r.first), nil
	case err != nil:
		return nil, fmt.Errorf("where the user is: %w", err)
	}
	at, err := backend.Read(fields, r.router.port, r.router.secure)
	if err != nil {
		return nil, err
	}
	if other := cmp.Or(fields["destuser"], fields["user"]); other != j.user {
		j.as = other
	}
	ln, err := r.sites.lane(at)
	if err != nil {
		return nil, err
	}
	return r.running(ctx, listing, ln), nil
}

// maxHops is how many referrals are followed for one command (spec/doveadm.md 2.3).
const maxHops = 5

// referred finds the server to which another one refers a user. It must be one
// that our side knows of: the password goes there, and a server that was taken
// over could name anybody.
func (r *run) referred(j *job, code int, to string) (*lane, bool) {
	at := strings.LastIndexByte(to, '@')
	if code != doveadmproto.Referral || at < 0 || j.hops == maxHops || !authproto.ValidUser(to[:at]) {
		return nil, false
	}
	target := r.first.at
	target.Host = to[at+1:]
	if host, _, err := net.SplitHostPort(target.Host); err == nil {
		target.Address, target.Host = target.Host, host
	} else if r.router != nil {
		target.Address = backend.Join(target.Host, r.router.port)
	} else if _, port, err := net.SplitHostPort(target.Address); err == nil {
		target.Address = net.JoinHostPort(strings.Trim(target.Host, "[]"), port)
	}
	if r.router != nil {
		target.Protection = r.router.secure
	}
	if !r.sites.knows(target) {
		return nil, false
	}
	ln, err := r.sites.lane(target)
	if err != nil {
		return nil, false
	}
	j.hops++
	j.as = to[:at]
	return ln, true
}

// running makes sure that a lane's backlog is worked on. Only the goroutine that
// lists the users calls it.
func (r *run) running(ctx, listing context.Context, ln *lane) *lane {
	if ln.pumped == nil {
		ln.backlog, ln.pumped = newBacklog(r.steps), make(chan struct{})
		go ln.pump(ctx, listing)
	}
	return ln
}

// lanes are all that were opened.
func (r *run) lanes() []*lane {
	r.sites.mu.Lock()
	defer r.sites.mu.Unlock()
	all := []*lane{r.first}
	for _, ln := range r.sites.lanes {
		all = append(all, ln)
	}
	return all
}
