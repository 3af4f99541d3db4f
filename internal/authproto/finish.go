package authproto

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

// Finish asks on master, a connection of the master protocol that it uses up,
// whose mail the login with the given id opened (REQUEST, spec/auth.md 2.5). It
// gives the user's name and then the fields in their order. The server answers
// once for each login. The error is ErrNotFound or an ErrTempfail.
func (l *Login) Finish(ctx context.Context, master net.Conn, id uint32) ([]string, error) {
	args, err := l.finish(ctx, master, id)
	var told *Tempfail
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.As(err, &told) {
		err = &Tempfail{Err: err}
	}
	return args, err
}

func (l *Login) finish(ctx context.Context, master net.Conn, id uint32) ([]string, error) {
	m, err := newLink(ctx, master)
	if err != nil {
		return nil, err
	}
	defer m.end(net.ErrClosed)
	if m.spid != l.SPID {
		return nil, fmt.Errorf("auth was started anew since the login (process %d, then %d)", l.SPID, m.spid)
	}
	defer context.AfterFunc(ctx, func() { m.end(ctx.Err()) })()
	got := make(chan reply, 1)
	pid := strconv.Itoa(os.Getpid())
	deadline, _ := ctx.Deadline()
	_, err = m.send(deadline, func(r reply) { deliver(got, r) }, "REQUEST",
		pid, strconv.FormatUint(uint64(id), 10), l.Cookie, "session_pid="+pid)
	if err != nil {
		return nil, err
	}
	go m.read()
	r := <-got
	return verdict("USER", r)
}
