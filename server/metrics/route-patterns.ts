/** Paths as OpenAPI writes them, each with its methods in lower case, and maybe more. */
export type Paths = Readonly<Record<string, object>>

export type Route = {
  /** As Express writes it, such as `/files/:id`. */
  pattern: string
  methods: ReadonlySet<string>
}

/** Everything that is not documented, such as the page. */
const OTHER: Route = { pattern: 'other', methods: new Set(['GET', 'HEAD', 'OPTIONS']) }

/** Finds the documented route of a URL; one route for all others, so that labels are bounded. */
export function routeFinder(paths: Paths): (url: string) => Route {
  const fixed = new Map<string, Route>()
  const variable: (Route & { path: RegExp })[] = []
  for (const [path, item] of Object.entries(paths)) {
    const route = { pattern: path.replaceAll(/\{(\w+)\}/g, ':$1'), methods: methodsOf(item) }
    if (route.pattern === path) fixed.set(path, route).set(`${path}/`, route)
    else variable.push({ ...route, path: new RegExp(`^${source(path)}/?$`) })
  }
  return function routeOf(url) {
    const query = url.indexOf('?')
    const path = query === -1 ? url : url.slice(0, query)
    return fixed.get(path) ?? variable.find((route) => route.path.test(path)) ?? OTHER
  }
}

/** Express answers HEAD like GET, and browsers send OPTIONS. */
function methodsOf(item: object): ReadonlySet<string> {
  const methods = new Set(Object.keys(item).map((name) => name.toUpperCase()))
  if (methods.has('GET')) methods.add('HEAD')
  return methods.add('OPTIONS')
}

const source = (path: string): string =>
  path
    .split('/')
    .map((part) => (part.startsWith('{') ? '[^/]+' : part.replaceAll('.', '\\.')))
    .join('/')
