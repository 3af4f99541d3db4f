package maildir

import (
	"errors"
	"math"
)

// QuotaState is how much of the quota is used. A limit of 0 is none.
type QuotaState struct {
	Bytes, Messages           int64
	BytesLimit, MessagesLimit int64
}

// ErrNoQuota says that this user's mail is not counted at all.
//
//lint:ignore ST1005 Dovecot's wording
var ErrNoQuota = errors.New("No quota")

// Usage reads maildirsize, or counts the mail where that is not kept.
func (s *Store) Usage() (QuotaState, error) {
	if s.c.Quota == nil {
		return QuotaState{}, ErrNoQuota
	}
	u, err := s.usage(&Folder{}) // no rule can name it: the user's own limits
	if err != nil {
		return QuotaState{}, err
	}
	defer u.close()
	if !u.active {
		have, _, err := s.count()
		return QuotaState{Bytes: have.bytes, Messages: have.messages}, err
	}
	have, most := u.file.counts, u.file.limits
	return QuotaState{have.bytes, have.messages, most.bytes, most.messages}, nil
}

// Recount counts all mail and writes maildirsize anew, where it is kept.
func (s *Store) Recount() error {
	if s.c.Quota == nil {
		return ErrNoQuota
	}
	u, err := s.usage(&Folder{})
	if err != nil {
		return err
	}
	defer u.close()
	if !u.active {
		return nil
	}
	at, err := s.controlDir()
	if err != nil {
		return err
	}
	defer s.closeControl(at)
	return u.recount(at)
}

// Percent is the used share, cut to a whole number as Dovecot's is.
func Percent(used, limit int64) int64 {
	if limit <= 0 {
		return 0
	}
	if used > math.MaxInt64/100 {
		return used / max(limit/100, 1)
	}
	return used * 100 / limit
}
