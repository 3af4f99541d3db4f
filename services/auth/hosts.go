package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"culver/services/auth/field"
)

// Limits of host names' lookups.
const (
	hostTime  = 10 * time.Second // one lookup, as in Dovecot
	hostFresh = 30 * time.Second // for which an address is kept
	maxHosts  = 1024             // names that are kept
)

// hosts finds the addresses of the hosts that passdb entries proxy to. Here and
// not where they are connected to: the fronts are boxed and have no resolver.
type hosts struct {
	lookup func(ctx context.Context, host string) ([]netip.Addr, error) // nil: the system's
	flight singleflight.Group

	mu    sync.Mutex
	known map[string]found
}

type found struct {
	ip  string
	now time.Time
}

// named says whether an entry proxies to a host by its name alone.
func named(fields field.List) (host string, ok bool) {
	_, proxied := fields.Get("proxy")
	_, maybe := fields.Get("proxy_maybe")
	host, ok = fields.Get("host")
	if _, has := fields.Get("hostip"); has || !ok || host == "" || !proxied && !maybe {
		return "", false
	}
	_, err := netip.ParseAddr(host)
	return host, err != nil
}

// complete adds hostip to an entry that proxies to a host by its name. The error
// is temporary.
func (h *hosts) complete(ctx context.Context, fields field.List) (field.List, error) {
	host, ok := named(fields)
	if !ok {
		return fields, nil
	}
	ip, err := h.address(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("host=%s: %w", host, err)
	}
	fields = append(field.List{}, fields...)
	fields.Set(field.Field{Key: "hostip", Value: ip})
	return fields, nil
}

func (h *hosts) address(ctx context.Context, host string) (string, error) {
	h.mu.Lock()
	f, ok := h.known[host]
	h.mu.Unlock()
	if ok && time.Since(f.now) < hostFresh {
		return f.ip, nil
	}
	// Not one caller's context: others wait for the same answer.
	answer := h.flight.DoChan(host, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), hostTime)
		defer cancel()
		return h.ask(ctx, host)
	})
	select {
	case a := <-answer:
		if a.Err != nil {
			return "", a.Err
		}
		return a.Val.(string), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (h *hosts) ask(ctx context.Context, host string) (string, error) {
	lookup := h.lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	all, err := lookup(ctx, host)
	if err == nil && len(all) == 0 {
		err = errors.New("no address")
	}
	if err != nil {
		return "", err
	}
	ip := all[0].Unmap().String()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.known) >= maxHosts || h.known == nil {
		h.known = map[string]found{}
	}
	h.known[host] = found{ip, time.Now()}
	return ip, nil
}
