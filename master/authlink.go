package master

import (
	"context"
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
	"culver/internal/fdpass"
	"culver/internal/handoff"
)

// errNoUser says that auth answered and no entry names the user.
var errNoUser = errors.New("no such user")

// errNoAuth says that there is no auth process to ask at this moment.
var errNoAuth = errors.New("auth is not running")

// authLink is the master's own connection to auth: over a socketpair to the
// auth that it started, so that no file's permissions stand between, or over
// auth_socket_path to somebody else's.
type authLink struct {
	socket string // "" for our own auth
	client *authproto.Client

	asking  int // lookups under way; the loop's, as is retired
	retired bool
}

func (m *Master) newAuthLink(socket string) *authLink {
	dial := m.dialOwnAuth
	if socket != "" {
		dial = authproto.Path(socket)
	}
	return &authLink{socket: socket, client: &authproto.Client{Dial: dial}}
}

// dialOwnAuth hands the auth process that runs now one end of a socketpair.
func (m *Master) dialOwnAuth(ctx context.Context) (net.Conn, error) {
	theirs, ours, err := fdpass.Pair(unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(ours), "auth")
	defer f.Close()
	passed := make(chan bool, 1)
	m.do(func() {
		p := m.auth
		if p == nil || p.gone {
			unix.Close(theirs)
			passed <- false
			return
		}
		p.out.post(&handoff.Message{Kind: handoff.KindAccess}, theirs)
		passed <- true
	})
	select {
	case ok := <-passed:
		if !ok {
			return nil, errNoAuth
		}
		return net.FileConn(f)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Lookup asks whose mail it is.
func (a *authLink) Lookup(ctx context.Context, user, service string) (authproto.User, error) {
	u, err := a.client.Lookup(ctx, user, authproto.Params{Service: service})
	if errors.Is(err, authproto.ErrNotFound) {
		return u, errNoUser
	}
	return u, err
}

// Redeem asks what a ticket is worth, and uses it up. Only the auth that we
// started is believed, over the connection that we made to it; another's
// auth_socket_path gives out no tickets.
func (a *authLink) Redeem(ctx context.Context, ticket, user, service string) (authproto.Redeemed, error) {
	if a.socket != "" {
		return authproto.Redeemed{}, authproto.ErrTicket
	}
	r, err := a.client.Redeem(ctx, ticket, user, authproto.Params{Service: service})
	if errors.Is(err, authproto.ErrNotFound) {
		return r, errNoUser
	}
	return r, err
}

// asked ends one lookup.
func (a *authLink) asked() {
	a.asking--
	a.closeIfDone()
}

// retire closes the link after its last lookup: a newer generation has another.
func (a *authLink) retire() {
	a.retired = true
	a.closeIfDone()
}

func (a *authLink) closeIfDone() {
	if a.retired && a.asking == 0 {
		a.client.Close()
	}
}

// authStarted is called when a new auth process has a pid.
func (m *Master) authStarted(p *process) { m.auth = p }
