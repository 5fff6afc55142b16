package admin

import (
	"net/http"
	"net/http/pprof"
)

func profileIndex(_ *Server, w *response, r *http.Request)   { pprof.Index(w, r) }
func profileCPU(_ *Server, w *response, r *http.Request)     { pprof.Profile(w, r) }
func profileTrace(_ *Server, w *response, r *http.Request)   { pprof.Trace(w, r) }
func profileSymbols(_ *Server, w *response, r *http.Request) { pprof.Symbol(w, r) }
