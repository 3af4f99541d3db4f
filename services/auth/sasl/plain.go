package sasl

import (
	"bytes"
	"context"
)

// newPlain is PLAIN: authzid NUL authcid NUL password (RFC 4616 section 2).
func newPlain(b Backend, _ Facts) step {
	return clientFirst(func(ctx context.Context, in Input) (Output, step) {
		f := bytes.Split(in.Data, []byte{0})
		if len(f) != 3 {
			return malformed("PLAIN has %d NULs, want 2", len(f)-1)
		}
		if len(f[1]) == 0 {
			return malformed("PLAIN without a user name")
		}
		return end(b.Verify(ctx, string(f[1]), string(f[0]), string(f[2]))), nil
	})
}

// newLogin is LOGIN (draft-murchison-sasl-login): the initial response, which
// the draft does not have, is the name.
func newLogin(b Backend, _ Facts) step {
	name := func(_ context.Context, in Input) (Output, step) {
		user := string(in.Data)
		if user == "" || hasNUL(in.Data) {
			return malformed("LOGIN wants a user name without NUL")
		}
		return Output{Challenge: []byte("Password:")}, func(ctx context.Context, in Input) (Output, step) {
			if hasNUL(in.Data) {
				return malformed("LOGIN wants a password without NUL")
			}
			return end(b.Verify(ctx, user, "", string(in.Data))), nil
		}
	}
	return func(ctx context.Context, in Input) (Output, step) {
		// Some clients send an empty initial response where they mean none.
		if len(in.Data) == 0 {
			return Output{Challenge: []byte("Username:")}, name
		}
		return name(ctx, in)
	}
}

func hasNUL(data []byte) bool { return bytes.IndexByte(data, 0) >= 0 }
