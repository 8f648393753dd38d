/** What `doctor` found out about one thing, in a line. An `error` keeps Landfall from its work. */
export type Finding = { level: 'ok' | 'warning' | 'error'; text: string }
