package sasl_test

import (
	"context"
	"errors"
	"fmt"

	"culver/services/auth/sasl"
)

// oneUser is a judge who knows alice.
type oneUser struct{ sasl.Backend }

func (oneUser) Verify(_ context.Context, authcid, authzid, password string) error {
	if authcid != "alice" || password != "test" {
		return errors.New("refused")
	}
	return nil
}

func Example() {
	m, _ := sasl.Find("LOGIN")
	x := m.New(oneUser{}, sasl.Facts{})
	out := x.Step(context.Background(), sasl.Input{None: true})
	for _, answer := range []string{"alice", "test"} {
		fmt.Printf("%s %s\n", out.Challenge, answer)
		out = x.Step(context.Background(), sasl.Input{Data: []byte(answer)})
	}
	fmt.Println(out.Done, out.Err)
	// Output:
	// Username: alice
	// Password: test
	// true <nil>
}
