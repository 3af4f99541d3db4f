package worker

import (
	"errors"
	"fmt"

	"culver/internal/doveadmproto"
	"culver/internal/mailstore/maildir"
)

const (
	codeUsage       = doveadmproto.Usage
	codeTemporary   = doveadmproto.TempFail
	codeNotPossible = doveadmproto.DataErr
)

// wrap says what failed before why it did.
func wrap(err error, format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}

// isName tells that a mailbox name is none.
func isName(err error) bool { return errors.Is(err, maildir.ErrName) }
