/** A route of this server: its method in lower case, and its path as Express writes it. */
export type Served = { method: string; path: string }

export type RouteLabel = { pattern: string; methods: ReadonlySet<string> }

/** Everything that is not a route, such as the page. */
const OTHER: RouteLabel = { pattern: 'other', methods: new Set(['GET', 'HEAD', 'OPTIONS']) }

/** Finds the label of a URL: one for each served path, and one for all others, so that labels are bounded. */
export function routeFinder(routes: readonly Served[]): (url: string) => RouteLabel {
  const fixed = new Map<string, RouteLabel>()
  const variable: (RouteLabel & { path: RegExp })[] = []
  for (const [pattern, ofPath] of Map.groupBy(routes, ({ path }) => path)) {
    const label = { pattern, methods: methodsOf(ofPath) }
    if (!pattern.includes(':')) fixed.set(pattern, label).set(`${pattern}/`, label)
    else variable.push({ ...label, path: new RegExp(`^${source(pattern)}/?$`) })
  }
  return function routeOf(url) {
    const query = url.indexOf('?')
    const path = query === -1 ? url : url.slice(0, query)
    return fixed.get(path) ?? variable.find((route) => route.path.test(path)) ?? OTHER
  }
}

/** Express answers HEAD like GET, and browsers send OPTIONS. */
function methodsOf(routes: readonly Served[]): ReadonlySet<string> {
  const methods = new Set(routes.map(({ method }) => method.toUpperCase()))
  if (methods.has('GET')) methods.add('HEAD')
  return methods.add('OPTIONS')
}

const source = (path: string): string => path.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')
