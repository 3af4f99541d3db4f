package worker

import "testing"

func TestSealCodeJumpsToItsRefusal(t *testing.T) {
	t.Parallel()
	code := sealCode()
	for i, nr := range sealed() {
		if to := 1 + i + 1 + int(code[1+i].Jt); to != len(code)-1 {
			t.Errorf("call %d jumps to instruction %d, want %d", nr, to, len(code)-1)
		}
	}
}
