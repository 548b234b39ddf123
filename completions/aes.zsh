#compdef aes

_aes_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _AES_COMPLETE=complete_zsh aes)
}

compdef _aes_completion aes
