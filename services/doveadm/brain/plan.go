package brain

type planWriter struct{}

type planned struct{}

func (p *planned) add(cells [dryCells][]byte) error      { return nil }
func (w *planWriter) user(name string, p *planned) error { return nil }
func (w *planWriter) close() error                       { return nil }
