package brain

import (
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bar is a display with a bar below the lines, for a terminal.
type bar struct {
	plain
	all *mpb.Progress
	one *mpb.Bar
}

func newBar(w io.Writer) *bar {
	b := &bar{all: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithRefreshRate(200*time.Millisecond), mpb.WithAutoRefresh())}
	b.plain.w = b.all // lines appear above the bar
	b.one = b.all.New(0, mpb.BarStyle(),
		mpb.PrependDecorators(decor.CountersNoUnit("%d of %d users ")),
		mpb.AppendDecorators(
			decor.AverageSpeed(0, "%.0f/s "),
			decor.AverageETA(decor.ET_STYLE_GO),
		),
		mpb.BarRemoveOnComplete(),
	)
	return b
}

func (b *bar) user(string, *result) { b.one.Increment() }
func (b *bar) total(users int64)    { b.one.SetTotal(users, false) }

func (b *bar) end(s sum, many, stopped bool, journal string) {
	b.plain.end(s, many, stopped, journal)
	b.one.Abort(true)
	b.all.Wait()
}
