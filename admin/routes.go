package admin

import (
	"net/http"
	"slices"
	"strings"
)

// route is one thing that may be asked for, and by whom.
type route struct {
	method string
	path   string // a pattern of http.ServeMux, without a method
	role   Role   // at least
	probe  bool   // also at the probes door
	handle func(*Server, *response, *http.Request)
}

// routes is THE table of what may be asked. A method other than GET changes something: it
// passes cross-origin protection and leaves a record. GET serves HEAD too.
var routes = []route{
	{http.MethodGet, "/livez", Viewer, true, (*Server).livez},
	{http.MethodGet, "/readyz", Viewer, true, (*Server).readyz},
	{http.MethodGet, "/metrics", Viewer, true, (*Server).metrics},
	{http.MethodGet, "/api/v1/status", Viewer, false, (*Server).status},
	{http.MethodGet, "/api/v1/directory", Viewer, false, (*Server).directory},
	{http.MethodGet, "/api/v1/backends", Viewer, false, (*Server).backends},
	{http.MethodGet, "/api/v1/sessions", Helpdesk, false, (*Server).sessions},
	{http.MethodDelete, "/api/v1/sessions", Helpdesk, false, (*Server).kickSelected},
	{http.MethodDelete, "/api/v1/sessions/{id}", Helpdesk, false, (*Server).kick},
	{http.MethodGet, "/api/v1/mailboxes/{address}", Helpdesk, false, (*Server).explain},
	{http.MethodPost, "/api/v1/mailboxes/{address}/forget", Helpdesk, false, (*Server).forget},
	{http.MethodPost, "/api/v1/directory/{source}/confirm", Operator, false, (*Server).confirm},
	{http.MethodPost, "/api/v1/backends/{name}/drain", Operator, false, (*Server).drain},
	{http.MethodPost, "/api/v1/backends/{name}/resume", Operator, false, (*Server).resume},
	{http.MethodPost, "/api/v1/reload", Operator, false, (*Server).reload},
}

// profiles are Go's own, for those who asked for them: they show the program from inside.
var profiles = []route{
	{http.MethodGet, "/debug/pprof/", Operator, false, profileIndex},
	{http.MethodGet, "/debug/pprof/profile", Operator, false, profileCPU},
	{http.MethodGet, "/debug/pprof/trace", Operator, false, profileTrace},
	{http.MethodGet, "/debug/pprof/symbol", Operator, false, profileSymbols},
}

func (s *Server) allRoutes() []route {
	if !s.options.PProf {
		return routes
	}
	return slices.Concat(routes, profiles)
}

// endpoints finds the route of a request among those of a door.
func (s *Server) endpoints(all []route) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w.(*response), http.StatusNotFound, "there is nothing here")
	})
	paths := make(map[string]*endpoint)
	for _, r := range all {
		if paths[r.path] == nil {
			paths[r.path] = &endpoint{server: s}
			mux.Handle(r.path, paths[r.path])
		}
		paths[r.path].routes = append(paths[r.path].routes, r)
	}
	return mux
}

// endpoint is one path with the routes of its methods.
type endpoint struct {
	server *Server
	routes []route
}

// ServeHTTP asks, in this order: is there such a thing to do, may this caller do it, and does
// the request come from where it seems to. Only then it is done.
func (e *endpoint) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w, who := rw.(*response), callerOf(r)
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	at := slices.IndexFunc(e.routes, func(route route) bool { return route.method == method })
	if at < 0 {
		w.Header().Set("Allow", e.allowed())
		refuse(w, http.StatusMethodNotAllowed, "want "+e.allowed())
		return
	}
	found := e.routes[at]
	if method != http.MethodGet {
		defer e.server.audit(who, w, r)
	}
	if who.role < found.role {
		refuse(w, http.StatusForbidden, "role "+who.role.String()+" may not do this, it takes "+found.role.String())
		return
	}
	if err := e.server.origins.Check(r); err != nil {
		refuse(w, http.StatusForbidden, err.Error())
		return
	}
	found.handle(e.server, w, r)
}

func (e *endpoint) allowed() string {
	var methods []string
	for _, r := range e.routes {
		if methods = append(methods, r.method); r.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	return strings.Join(methods, ", ")
}
