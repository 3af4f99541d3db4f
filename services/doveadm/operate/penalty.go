package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"culver/internal/anvilproto"
)

// anvilWait is how long anvil may take.
const anvilWait = 10 * time.Second

// withAnvil asks anvil, which answers root and its own user.
func (o *operation) withAnvil(ask func(ctx context.Context, c *anvilproto.Client) error) error {
	path := o.p.Value("socket-path")
	if path == "" {
		cfg, err := o.load()
		if err != nil {
			return err
		}
		if path = cfg.AnvilPath(); path == "" {
			return failed(exitUnavailable, "service anvil has no unix_listener: nothing is counted")
		}
	}
	c := anvilproto.NewClient(path)
	defer c.Close()
	ctx, cancel := context.WithTimeout(o.ctx, anvilWait)
	defer cancel()
	err := ask(ctx, c)
	var refused *anvilproto.RefusedError
	if errors.As(err, &refused) {
		return failed(exitNoPerm, "%v", err)
	}
	return err
}

// network checks an argument before anybody is asked.
func (o *operation) network(text string) error {
	if _, err := anvilproto.ParseNet(text); err != nil {
		return failed(exitUsage, "%v", err)
	}
	return nil
}

// penalty prints what is held against whom. The first columns are Dovecot's.
func (o *operation) penalty() error {
	network := o.p.Arg("network")
	if err := o.network(network); err != nil {
		return err
	}
	return o.withAnvil(func(ctx context.Context, c *anvilproto.Client) error {
		all, err := c.List(ctx, network)
		if err != nil {
			return err
		}
		slices.SortFunc(all, func(a, b anvilproto.Penalty) int {
			return cmp.Or(a.Net.Addr().Compare(b.Net.Addr()), cmp.Compare(a.User, b.User))
		})
		for _, p := range all {
			err := o.row(place(p), num(p.Level), p.LastPenalty.Format(time.DateTime), p.LastUpdate.Format(time.TimeOnly), p.User)
			if err != nil {
				return err
			}
		}
		return o.header()
	})
}

// place is where attempts came from: an address, a network of IPv6, or "-" where
// clients told none.
func place(p anvilproto.Penalty) string {
	switch {
	case !p.Net.IsValid():
		return "-"
	case p.Net.IsSingleIP():
		return p.Net.Addr().String()
	}
	return p.Net.String()
}

// penaltyClear forgives.
func (o *operation) penaltyClear() error {
	network := o.p.Arg("network")
	if network == "all" {
		network = ""
	} else if err := o.network(network); err != nil {
		return err
	}
	return o.withAnvil(func(ctx context.Context, c *anvilproto.Client) error {
		n, err := c.Clear(ctx, network, o.p.Arg("user"))
		if err != nil {
			return err
		}
		o.line(fmt.Sprintf("%d penalties cleared", n))
		return nil
	})
}
