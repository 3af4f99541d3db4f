package packet

import "testing"

func TestReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	w := Writer{}
	w.Byte(7)
	w.Num(1 << 40)
	w.Text("grüße\x00")
	r := Reader{Rest: w.Out}
	b, n, s := r.Byte(), r.Num(), r.Text(100)
	if b != 7 || n != 1<<40 || s != "grüße\x00" || !r.Whole() {
		t.Errorf("got %d, %d, %q, whole %t", b, n, s, r.Whole())
	}
}

func TestBadPackets(t *testing.T) {
	t.Parallel()
	text := func(s string) []byte { w := Writer{}; w.Text(s); return w.Out }
	for _, tt := range []struct {
		name string
		rest []byte
		read func(*Reader)
	}{
		{"no byte", nil, func(r *Reader) { r.Byte() }},
		{"half a number", []byte{1, 2, 3}, func(r *Reader) { r.Num() }},
		{"half a length", []byte{1}, func(r *Reader) { r.Text(10) }},
		{"a text shorter than its length", text("abc")[:4], func(r *Reader) { r.Text(10) }},
		{"a text beyond its limit", text("abc"), func(r *Reader) { r.Text(2) }},
		{"something left over", text("abc"), func(r *Reader) { r.Byte() }},
		{"good after bad", []byte{0, 0, 0, 0}, func(r *Reader) { r.Num(); r.Byte() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := Reader{Rest: tt.rest}
			if tt.read(&r); r.Whole() {
				t.Error("got a whole packet, want a bad one")
			}
		})
	}
}
