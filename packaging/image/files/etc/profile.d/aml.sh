# shellcheck shell=sh
# A login shell's `python` is the notebooks'.
case :$PATH: in
*:/opt/aml/bin:*) ;;
*) PATH=/opt/aml/bin:$PATH ;;
esac
