package master

import (
	"context"
	"errors"
	"net"
	"testing"

	"culver/internal/authproto"
)

func TestAReplacedAuthLinkEndsAfterItsLastLookup(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	a := &authLink{asking: 1, client: &authproto.Client{Dial: func(context.Context) (net.Conn, error) { return nil, refused }}}
	closed := func() bool {
		_, err := a.Lookup(context.Background(), "ann", "lmtp")
		return errors.Is(err, net.ErrClosed)
	}
	a.client.Patience = 1
	a.retire()
	if closed() {
		t.Error("it was closed under a lookup")
	}
	a.asked()
	if !closed() {
		t.Error("it stays for ever")
	}
}
