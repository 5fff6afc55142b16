package main

import "context"

// background is a goroutine of the gateway's own, which stop ends and waits for.
type background struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func start(run func(context.Context)) *background {
	ctx, cancel := context.WithCancel(context.Background())
	b := &background{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		run(ctx)
	}()
	return b
}

// stop does nothing where nothing was started.
func (b *background) stop() {
	if b == nil {
		return
	}
	b.cancel()
	<-b.done
}

// ended is closed when it has ended by itself or was stopped; nil where nothing was started.
func (b *background) ended() <-chan struct{} {
	if b == nil {
		return nil
	}
	return b.done
}
