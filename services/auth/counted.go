package auth

import (
	"context"
	"time"

	"culver/services/auth/penalty"
)

// Penalties makes those wait who guess. Package penalty's Client is one.
type Penalties interface {
	// Before announces a try and gives how long its answer is to wait; refuse is
	// one try too many. What was not refused is settled by After or Abandon.
	Before(ctx context.Context, w penalty.Who) (delay time.Duration, refuse bool)
	After(ctx context.Context, w penalty.Who, ok bool)
	Abandon(ctx context.Context, w penalty.Who)
	Checksum(user, password string) string
}

// counted is a Try that tells the penalties of each password before it is looked
// at, so that tries side by side do not pass each other by.
type counted struct {
	Try
	x *exchange
}

// tooMany is the answer to one try too many: at once, and no password is
// looked at.
func tooMany(user string) error { return &Refusal{User: user, NoDelay: true} }

func (t counted) Verify(ctx context.Context, authcid, authzid, password string) error {
	if t.x.announce(ctx, t.Subject(authcid, authzid), password) {
		return tooMany(authcid)
	}
	return t.Try.Verify(ctx, authcid, authzid, password)
}

func (t counted) Credentials(ctx context.Context, authcid, authzid string, schemes ...string) (string, error) {
	if t.x.announce(ctx, t.Subject(authcid, authzid), "") {
		return "", tooMany(authcid)
	}
	return t.Try.Credentials(ctx, authcid, authzid, schemes...)
}

// announce has the penalties count a try, and says whether it is one too many.
func (x *exchange) announce(ctx context.Context, user, password string) (refuse bool) {
	if x.Penalty == nil || x.noPenalty && x.role.Finish != byTicket { // that front faces the network
		return false
	}
	who := penalty.Who{IP: x.values.RemoteIP, User: user, Patience: x.patience()}
	if password != "" {
		who.Checksum = x.Penalty.Checksum(user, password)
	}
	delay, refuse := x.Penalty.Before(ctx, who)
	if refuse {
		return true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.phase == ended {
		go x.Penalty.Abandon(context.Background(), who)
		return false
	}
	x.penalty, x.who = delay, &who
	return false
}

// settle tells the penalties how it ended.
func (x *exchange) settle(a *verdict) {
	x.mu.Lock()
	who := x.who
	x.who = nil
	x.mu.Unlock()
	switch {
	case who == nil:
	case a.ok:
		x.Penalty.After(x.clientConn.ctx, *who, true)
	case a.now || a.code != "" && a.code != "authz_fail":
		// The password was right, or nobody could tell.
		x.Penalty.Abandon(x.clientConn.ctx, *who)
	default:
		x.Penalty.After(x.clientConn.ctx, *who, false)
	}
}
