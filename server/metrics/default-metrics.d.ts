/** One of the collectors that `collectDefaultMetrics` calls. The package has no types for them. */
declare module 'prom-client/lib/metrics/*.js' {
  const collect: (register: import('prom-client').Registry) => void
  export default collect
}
