package sasl

import "context"

// maxTrace is RFC 4505 section 2's, in bytes here.
const maxTrace = 255

// newExternal is EXTERNAL (RFC 4422 appendix A): the proof is the client's
// certificate, which the Backend knows of.
func newExternal(b Backend, _ Facts) step {
	return clientFirst(func(ctx context.Context, in Input) (Output, step) {
		if hasNUL(in.Data) {
			return malformed("EXTERNAL with NUL")
		}
		return end(b.External(ctx, string(in.Data))), nil
	})
}

// newAnonymous is ANONYMOUS (RFC 4505).
func newAnonymous(b Backend, _ Facts) step {
	return clientFirst(func(ctx context.Context, in Input) (Output, step) {
		if hasNUL(in.Data) || len(in.Data) > maxTrace {
			return malformed("ANONYMOUS wants at most %d bytes without NUL", maxTrace)
		}
		return end(b.Anonymous(ctx, string(in.Data))), nil
	})
}
