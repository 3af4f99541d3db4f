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
	open   func(site) (*lane, error)

	mu    sync.Mutex
	lanes map[site]*lane
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
	r.router.mu.Lock()
	defer r.router.mu.Unlock()
	ln := r.router.lanes[at]
	if ln == nil {
		if ln, err = r.router.open(at); err != nil {
			return nil, err
		}
		r.router.lanes[at] = ln
	}
	return r.running(ctx, listing, ln), nil
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
	all := []*lane{r.first}
	if r.router != nil {
		r.router.mu.Lock()
		defer r.router.mu.Unlock()
		for _, ln := range r.router.lanes {
			all = append(all, ln)
		}
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
