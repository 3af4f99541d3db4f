package brain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"culver/internal/authproto"
	"culver/internal/doveadmproto"
)

// site is where a user's mail is, by the passdb (spec/doveadm.md 2.3).
type site struct {
	address string // host:port that is connected to
	host    string // as the passdb names it, which a certificate is checked against
	secure  secure
}

// router finds out which server has a user's mail.
type router struct {
	lookup func(ctx context.Context, user string) (map[string]string, error)
	port   int    // doveadm_port
	secure secure // doveadm_ssl, unless the passdb says otherwise
}

// sites are the servers that a run has come to know.
type sites struct {
	open  func(site) (*lane, error)
	named map[string]int // doveadm_server blocks: hosts that a referral may name

	mu    sync.Mutex
	lanes map[site]*lane
}

// lane gives the lane of a site, a new one at the first time.
func (s *sites) lane(at site) (*lane, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ln := s.lanes[at]
	if ln == nil {
		var err error
		if ln, err = s.open(at); err != nil {
			return nil, err
		}
		if s.lanes == nil {
			s.lanes = map[site]*lane{}
		}
		s.lanes[at] = ln
	}
	return ln, nil
}

// knows tells whether the administrator has named a host, or the passdb has.
func (s *sites) knows(at site) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.lanes[at]
	_, host := s.named[at.host]
	_, address := s.named[at.address]
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
	at, err := r.router.site(fields)
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
	target.host = to[at+1:]
	if host, _, err := net.SplitHostPort(target.host); err == nil {
		target.address, target.host = target.host, host
	} else if r.router != nil {
		target.address = net.JoinHostPort(strings.Trim(target.host, "[]"), strconv.Itoa(r.router.port))
	} else if _, port, err := net.SplitHostPort(target.address); err == nil {
		target.address = net.JoinHostPort(strings.Trim(target.host, "[]"), port)
	}
	if r.router != nil {
		target.secure = r.router.secure
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

func (rt *router) site(fields map[string]string) (site, error) {
	p := site{host: fields["host"], secure: rt.secure}
	target := cmp.Or(fields["hostip"], p.host)
	if target == "" {
		return p, errors.New("the passdb says proxy and no host")
	}
	port := rt.port
	if text, ok := fields["port"]; ok {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return p, fmt.Errorf("the passdb's port=%.32q is no port", text)
		}
		port = int(n)
	}
	p.address = net.JoinHostPort(strings.Trim(target, "[]"), strconv.Itoa(port))
	var err error
	p.secure, err = rt.secure.overruled(fields["ssl"], fields["starttls"])
	return p, err
}
