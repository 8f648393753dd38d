// The package has types for its whole build only; this one has less inside and the same outside.
declare module 'hls.js/light' {
  export { default } from 'hls.js'
}
